"""What every provider offers to the gateway."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from opsorch.capabilities.fields import utc_now
from opsorch.deadline import Deadline
from opsorch.errors import STATUS_OF_CODE, OpsOrchError, ProviderMissing
from opsorch.supervisor.spec import Emit

RawJson = bytes | msgspec.Raw


@dataclass(frozen=True, slots=True)
class CallContext:
    """What goes along with a call.

    Attributes:
        deadline: Covers the whole call.
        request_id: Id of the caller's request.
        actor: Who calls, as claimed.
        traceparent: W3C trace context, or "".
    """

    deadline: Deadline
    request_id: str = ""
    actor: str = ""
    traceparent: str = ""


@contextlib.contextmanager
def telling(emit: Emit, capability: str, method: str, deadline: Deadline) -> Iterator[None]:
    """Tell of the call that the block makes, once it is over."""
    code = "internal_error"
    try:
        yield
        code = "ok"
    except OpsOrchError as error:
        code = error.code if error.code in STATUS_OF_CODE else "other"
        raise
    finally:
        emit(
            "call.finished",
            capability=capability,
            method=method,
            code=code,
            # One inside the gateway may last longer than it should.
            seconds=round(deadline.elapsed(), 6),
        )


class Provider(Protocol):
    """Answers the RPC methods of one capability. Safe for threads."""

    @property
    def label(self) -> str:
        """What the user configured, for example ``bundled:demo``."""

    def call(
        self, method: str, payload: bytes, context: CallContext, *, repeatable: bool
    ) -> RawJson:
        """Answer one method. Blocks until the deadline at most.

        Args:
            method: RPC method.
            payload: JSON.
            context: Deadline and identity.
            repeatable: A read: it may be sent a second time.

        Returns:
            The raw JSON result, ``null`` where there is none; not checked against any shape.

        Raises:
            OpsOrchError: With the code that the caller is told.
        """

    def health(self) -> dict[str, Any]:
        """Tell what its pool looks like, without starting anything; {} where it has none.

        ``ready`` is false where it cannot take a call.
        """

    def drain(self) -> None:
        """Take its leave: calls under way finish. Does not block."""


class Unavailable:
    """A provider that cannot answer, and the error that says why.

    Attributes:
        error: Raised, as a copy, by each call.
        configured: Something is configured, so that this is a fault.
    """

    def __init__(self, label: str, error: OpsOrchError, *, configured: bool = True) -> None:
        self.label = label
        self.configured = configured
        self.error = error

    def call(
        self, method: str, payload: bytes, context: CallContext, *, repeatable: bool
    ) -> RawJson:
        """Raise the error; see Provider.call."""
        raise self.copy_of_error()

    def copy_of_error(self) -> OpsOrchError:
        """Return a copy of the error: a raised exception keeps its traceback."""
        copied = self.error.__class__.__new__(self.error.__class__)
        copied.__dict__.update(self.error.__dict__)
        copied.args = self.error.args
        return copied

    def health(self) -> dict[str, Any]:
        """Tell why it is off; see Provider.health."""
        return {"ready": False, "reason": self.error.message} if self.configured else {}

    def drain(self) -> None:
        """Do nothing; there is nothing to drain."""


@dataclass(slots=True)
class LastError:
    """The last failure of a provider: its code and when it was, in UTC."""

    code: str = ""
    at: str = ""

    def note(self, error: OpsOrchError) -> None:
        """Remember an error, unless it is about the caller's request or nothing is configured."""
        if error.status < 500 and error.code != "rate_limited":
            return
        if isinstance(error, ProviderMissing):
            return
        self.code, self.at = error.code, utc_now("seconds")

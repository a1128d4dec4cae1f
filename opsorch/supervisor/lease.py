"""A process on loan."""

from types import TracebackType
from typing import Protocol

from opsorch.deadline import Deadline
from opsorch.supervisor.frames import Envelope
from opsorch.supervisor.process import Process, Request


class Lender(Protocol):
    """Where a process is lent from: the pool."""

    def replied(self) -> None:
        """Note a reply."""

    def replace(self, process: Process, deadline: Deadline) -> Process:
        """Destroy a lent process and start another one on its slot."""

    def checkin(self, process: Process) -> None:
        """Take back a process whose stream is in step."""

    def discard(self, process: Process, reason: str) -> None:
        """Destroy a lent process."""


class Lease:
    """A process on loan. Leaving the block gives it back, or destroys it if it is out of step.

    Attributes:
        fresh: It was started for this lease.
    """

    def __init__(self, lender: Lender, process: Process, *, fresh: bool) -> None:
        self._lender = lender
        self.process = process
        self.fresh = fresh
        self._held = True

    def call(self, request: Request, deadline: Deadline) -> Envelope:
        """Send one request; see Process.call."""
        envelope = self.process.call(request, deadline)
        self._lender.replied()
        return envelope

    def replace(self, deadline: Deadline) -> None:
        """Destroy the process and start another one on its slot.

        Raises:
            PluginNotFound, PluginStartFailed, RpcTimeout: None can be started; the slot is free.
        """
        self._held = False
        self.process = self._lender.replace(self.process, deadline)
        self.fresh = self._held = True

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._held:
            return
        if self.process.in_step:
            self._lender.checkin(self.process)
            return
        self._lender.discard(self.process, kind.__name__ if kind else "out of step")

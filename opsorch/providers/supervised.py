"""A provider that is a plugin: its pool of processes, and the rule for trying again."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from opsorch.deadline import Deadline
from opsorch.errors import PluginCrashed
from opsorch.plugin.outcome import ADVICE
from opsorch.providers.base import CallContext, RawJson
from opsorch.supervisor.frames import result_of
from opsorch.supervisor.lease import Lease
from opsorch.supervisor.pool import Pool
from opsorch.supervisor.process import ProcessDied, Request
from opsorch.supervisor.spec import Emit

# A call starts two processes at most, and sends its request twice at most.
MOST_STARTS: Final = 2
MOST_SENT: Final = 2

_encode = msgspec.json.Encoder().encode


class SupervisedProvider:
    """Answers through the processes of a plugin."""

    def __init__(
        self, label: str, capability: str, config: Mapping[str, Any], pool: Pool, emit: Emit
    ) -> None:
        """Prepare.

        Args:
            label: What the user configured.
            capability: Name of the capability.
            config: Configuration, sent with every request.
            pool: The processes; this provider owns it.
            emit: Takes events.
        """
        self.label = label
        self.pool = pool
        self._capability = capability
        self._config = _encode(config)
        self._emit = emit
        self._ids = itertools.count(1)

    def call(
        self, method: str, payload: bytes, context: CallContext, *, repeatable: bool
    ) -> RawJson:
        """Answer one method; see Provider.call."""
        request_id = str(next(self._ids))
        request = Request(method, request_id, self._frame(method, payload, context, request_id))
        deadline = context.deadline
        attempts = _Attempts(
            self.pool, self._capability, self._emit, request, repeatable=repeatable
        )
        with self.pool.checkout(deadline) as lease:
            while True:
                try:
                    envelope = lease.call(request, deadline)
                    break
                except ProcessDied as death:
                    attempts.note(lease, death)
                    lease.replace(deadline)
        return result_of(envelope, self.pool.spec.redact)

    def _frame(
        self, method: str, payload: bytes, context: CallContext, request_id: str
    ) -> Callable[[Deadline], bytes]:
        """Prepare a frame; all but the time that is left is written once."""
        facts: dict[str, Any] = {"requestId": context.request_id, "actor": context.actor}
        if context.traceparent:
            facts["traceparent"] = context.traceparent
        start = b'{"method":%b,"config":%b,"payload":%b,"context":%b,"timeoutMs":' % (
            _encode(method),
            self._config,
            payload,
            _encode(facts)[:-1],
        )
        end = b'},"id":%b}\n' % _encode(request_id)
        return lambda deadline: b"%b%d%b" % (start, deadline.remaining() * 1000, end)

    def health(self) -> dict[str, Any]:
        """Tell what the pool looks like; see Provider.health."""
        seen, hindrance = self.pool.snapshot(), self.pool.hindrance()
        return {
            "ready": not hindrance,
            **({"reason": hindrance} if hindrance else {}),
            "pool": {
                "size": seen.size,
                **seen.states,
                "waiting": seen.waiting,
                "breaker": str(seen.breaker),
            },
        }

    def drain(self) -> None:
        """Drain the pool; see Provider.drain."""
        self.pool.drain()


class _Attempts:
    """Counts what one call has cost, and decides whether it may go on."""

    def __init__(
        self, pool: Pool, capability: str, emit: Emit, request: Request, *, repeatable: bool
    ) -> None:
        self._pool = pool
        self._capability = capability
        self._emit = emit
        self._request = request
        self._repeatable = repeatable
        self._started = 0
        self._sent = 0
        self._unsent_on_fresh = 0

    def note(self, lease: Lease, death: ProcessDied) -> None:
        """Take note of a death; returns where the call may be tried on a new process.

        Raises:
            PluginCrashed: It had taken a write, or a read a second time.
            PluginStartFailed: It dies before it takes its first request.
            RpcTimeout: The time is over.
        """
        starts = self._pool.starts
        self._started += lease.fresh
        self._sent += death.sent
        self._unsent_on_fresh += lease.fresh and not death.sent
        self._emit(
            "process.died",
            capability=self._capability,
            method=self._request.method,
            pid=lease.process.pid,
            status=death.how,
            sent=death.sent,
            stderr=death.stderr,
        )
        if death.sent:
            starts.died_in_call(lease.process, death)
        if death.sent and (not self._repeatable or self._sent >= MOST_SENT):
            raise self._crashed(death) from death
        doomed = not death.sent and starts.on_trial(lease.process)
        if doomed or self._unsent_on_fresh >= MOST_STARTS:
            raise starts.failed(f"it ended at once, {death.how}", death.stderr) from death
        if self._started >= MOST_STARTS:
            raise self._crashed(death) from death
        self._emit(
            "call.retried",
            capability=self._capability,
            method=self._request.method,
            sent=death.sent,
        )

    def _crashed(self, death: ProcessDied) -> PluginCrashed:
        said = f" It wrote: {death.stderr}" if death.stderr else ""
        sent = self._sent > 0
        unknown = sent and not self._repeatable
        lost = f" The upstream may have acted all the same: {ADVICE}." if unknown else ""
        return PluginCrashed(
            f"The plugin of {self._capability!r} ended ({death.how}) while it worked on"
            f" {self._request.method}.{lost}{said}",
            sent=sent,
        )

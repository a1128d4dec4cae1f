"""One plugin process: a request written, a reply read, one at a time, under one deadline."""

import errno
import math
import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from opsorch.deadline import Deadline
from opsorch.errors import ReplyBroken, RpcTimeout
from opsorch.observability.redact import clean_text
from opsorch.supervisor.backoff import Permit
from opsorch.supervisor.child import Child
from opsorch.supervisor.frames import Envelope, ReplyReader, check_id, has_id
from opsorch.supervisor.spec import Emit, PluginSpec
from opsorch.supervisor.states import ProcessState, moved
from opsorch.supervisor.stderr import StderrDrain

_CHUNK: Final = 256 * 1024
# Bytes read before the deadline is looked at again.
_MOST_AT_ONCE: Final = 4 * 1024 * 1024
# Lines of skipped text that a call logs one by one; the rest is told in one line at its end.
_LINES_TOLD: Final = 20
# The first bytes of a frame: nothing can come of them alone.
_BEGIN_BYTES: Final = 1
# How long to wait before looking again whether they were taken: a plugin that waits takes them at
# once, and one that is busy is not worth more looks than this.
_FIRST_LOOK_S: Final = 20e-6
_LONGEST_LOOK_S: Final = 0.005
# A reply without a newline is tried after a pause of this length, then twice, four times ... it.
FIRST_PAUSE_S: Final = 0.005
_BLANK: Final = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a plugin.

    Attributes:
        method: RPC method, for messages.
        id: Id that the frame carries; a reply with another one is refused.
        frame: Makes the frame at the moment when it is written; what is left of the deadline
            stands in it.
    """

    method: str
    id: str
    frame: Callable[[Deadline], bytes]


class ProcessDied(Exception):
    """The process ended, or closed its stdout, with a call unanswered.

    Attributes:
        sent: It had taken at least one byte of the request.
        how: Its exit status or signal, in words.
        stderr: Its last words, redacted.
    """

    def __init__(self, *, sent: bool, how: str, stderr: str) -> None:
        super().__init__(how)
        self.sent = sent
        self.how = how
        self.stderr = stderr


class Process:
    """A plugin process. Lent to one caller at a time; its pool's lock guards ``state``.

    Attributes:
        in_step: Every request that was written has had its whole reply, and nothing more.
        names_replies: Its last reply carried the id of its request.
        permit: The breaker's leave to start it.
    """

    def __init__(
        self, child: Child, spec: PluginSpec, mark: str, emit: Emit, permit: Permit
    ) -> None:
        self.child = child
        self.spec = spec
        self.mark = mark
        self.permit = permit
        self.state = ProcessState.STARTING
        self.calls = 0
        self.called_at = 0.0
        self.started_at = time.monotonic()
        self.idle_since = self.started_at
        self.call_limit = 0
        self._emit = emit
        self.in_step = True
        self.names_replies = False
        self.stderr = StderrDrain(child.stderr, spec.redact, self._log_line)
        self._poller = select.poll()
        self._poller.register(child.stdout, select.POLLIN)
        self._poller.register(child.pidfd, select.POLLIN)

    @property
    def pid(self) -> int:
        """Process id, the id of its group too."""
        return self.child.pid

    def move(self, to: ProcessState) -> None:
        """Go to another state; the caller holds the pool's lock."""
        self.state = moved(self.state, to)

    def usable(self) -> bool:
        """Tell whether it lives and its stream is in step. Never blocks."""
        if not self.in_step or self.child.ended():
            return False
        if not self.calls:
            # What it wrote before its first request is text that the reply's reader skips.
            return True
        try:
            waiting = os.read(self.child.stdout, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.in_step = bool(waiting) and not waiting.strip(_BLANK)
        if waiting and not self.in_step:
            self._emit("stream.lost", capability=self.spec.label, pid=self.pid)
        return self.in_step

    def call(self, request: Request, deadline: Deadline) -> Envelope:
        """Send one request and return its reply. Blocks until the deadline at most.

        Raises:
            RpcTimeout: No whole reply came in time. The stream is out of step, unless the time
                was over before anything was written.
            ProcessDied: The process ended, or closed its stdout.
            ReplyBroken: What came is no reply to this request. The stream is out of step.
        """
        if deadline.expired:
            raise RpcTimeout(
                f"The {deadline.timeout_s:g} s of {request.method} were over before the plugin of"
                f" {self.spec.label!r} could be asked. Repeat the call later.",
                sent=False,
            )
        self.called_at = time.monotonic()
        # A leftover reply without an id looks like the next one; one with an id gives itself away.
        wary = self.calls > 0 and not self.names_replies
        exchange = _Exchange(self, request.frame(deadline), deadline, wary=wary)
        self.in_step = False
        try:
            envelope = exchange.run()
            check_id(envelope, request.id)
        except _OutOfTime as late:
            raise self._timed_out(request, deadline, sent=late.sent) from None
        except ReplyBroken as exc:
            raise ReplyBroken(
                f"The plugin of {self.spec.label!r} cannot be understood: {exc.message}."
                " It was stopped; the next call starts a new one.",
                sent=True,
            ) from exc
        self.calls += 1
        self.names_replies = has_id(envelope)
        self.in_step = exchange.complete
        return envelope

    def _timed_out(self, request: Request, deadline: Deadline, *, sent: bool) -> RpcTimeout:
        return RpcTimeout(
            f"The plugin of {self.spec.label!r} did not answer {request.method} within"
            f" {deadline.timeout_s:g} s; it was stopped and the next call starts a new one."
            f" If the upstream is only slow, raise {self.spec.prefix}TIMEOUT.",
            sent=sent,
        )

    def resident_mb(self) -> float:
        """Return its resident memory in MiB, 0 where that cannot be read."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * _PAGE_BYTES / 2**20
        except (OSError, IndexError, ValueError):
            return 0.0

    def skipped(self, line: bytes, dropped: int = 0) -> None:
        """Note a line of text on stdout that is no reply, and how many before it are not shown."""
        text = self.spec.redact(line[:2000].decode("utf-8", "replace"))
        self._emit(
            "stdout.skipped",
            capability=self.spec.label,
            pid=self.pid,
            line=clean_text(text, 200),
            dropped=dropped,
        )

    def died(self, sent: Callable[[], bool]) -> ProcessDied:
        """Make the error for a death that was just noticed; kills what is left of the group.

        Args:
            sent: Tells whether it took a byte of the request; asked when it can take no more.
        """
        if not self.child.ended(_DEATH_WAIT_S):
            # It closed its stdout and lives on: nothing can come of it any more.
            self.child.kill()
            how = "closed its standard output"
        else:
            self.child.reap()
            how = str(self.child.status)
        return ProcessDied(sent=sent(), how=how, stderr=self.stderr.last_lines())

    def out_of_step(self) -> ProcessDied:
        """Make the error for a reply that came before the request was taken; kills the group.

        It is a leftover of an earlier call. Without an id, nothing else gives it away.
        """
        self._emit("stream.lost", capability=self.spec.label, pid=self.pid)
        self.child.kill()
        how = "wrote a reply that no request asked for"
        return ProcessDied(sent=False, how=how, stderr=self.stderr.last_lines())

    def _log_line(self, line: str, dropped: int) -> None:
        self._emit(
            "stderr.line", capability=self.spec.label, pid=self.pid, line=line, dropped=dropped
        )


_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
# Its stdout is closed a moment before the kernel says that a process has ended.
_DEATH_WAIT_S: Final = 0.05


class _OutOfTime(Exception):
    """The deadline passed without a whole reply."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__("out of time")
        self.sent = sent


class _Exchange:
    """One request on its way out and its reply on its way in, both at once.

    A wary one keeps the request back until the plugin has taken its first byte. A plugin that does
    one thing after the other has then written whatever it still had to write: it is seen, and is no
    reply, before the plugin has the request.
    """

    def __init__(self, process: Process, frame: bytes, deadline: Deadline, *, wary: bool) -> None:
        self._process = process
        self._child = process.child
        self._poller = process._poller
        self._deadline = deadline
        cut = _BEGIN_BYTES if wary else len(frame)
        self._left, self._kept_back = memoryview(frame)[:cut], memoryview(frame)[cut:]
        self._size = len(frame)
        spec = process.spec
        limit_name = f"{spec.prefix}MAX_REPLY_BYTES"
        self._reader = ReplyReader(spec.max_reply_bytes, limit_name, self._skip)
        self._skipped = 0
        self._last_skipped = b""
        self._pause_s = FIRST_PAUSE_S
        self._writing = False

    @property
    def complete(self) -> bool:
        """Tell whether the request was taken whole and nothing stands behind the reply."""
        if self._left or self._kept_back:
            return False
        # Some decoders leave the newline for later.
        return not (self._child.unread_bytes() > 1 or self._reader.has_rest)

    def run(self) -> Envelope:
        """Exchange; see Process.call."""
        try:
            self._write()
            while True:
                if self._kept_back and not self._left:
                    self._write_rest()
                envelope = self._turn()
                if envelope is not None:
                    return envelope
        finally:
            self._watch_stdin(False)
            if self._skipped > _LINES_TOLD:
                self._process.skipped(self._last_skipped, self._skipped - _LINES_TOLD - 1)

    def _skip(self, line: bytes) -> None:
        self._skipped += 1
        self._last_skipped = line
        if self._skipped <= _LINES_TOLD:
            self._process.skipped(line)

    def _write_rest(self) -> None:
        """Wait until the first byte of the request is taken, look for leftovers, write the rest."""
        pause_s = _FIRST_LOOK_S
        while True:
            # Asked first: what it wrote before it took the last of it is there to be seen then.
            taken = not self._child.unread_bytes()
            if self._poller.poll(0):
                open_still = self._read()
                # Half a reply may be one that was begun at the first byte of the request.
                if self._reader.has_rest and not (taken and self._reader.is_half_a_reply):
                    raise self._process.out_of_step()
                if not open_still or self._child.ended():
                    raise self._process.died(self._sent)
            if taken:
                break
            self._leave_if_late()
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_LOOK_S)
        self._left, self._kept_back = self._kept_back, self._kept_back[:0]
        self._write()

    def _turn(self) -> Envelope | None:
        events = self._wait()
        if not events:
            self._pause_s *= 2
            return self._look(paused=True)
        ready = dict(events)
        if self._child.stdin in ready:
            self._write()
        ended = self._child.pidfd in ready
        if self._child.stdout not in ready and not ended:
            return None
        open_still = self._read()
        envelope = self._look(paused=not open_still or ended)
        over = not open_still or (ended and self._child.stdout not in ready)
        if envelope is None and over:
            raise self._process.died(self._sent)
        return envelope

    def _look(self, *, paused: bool) -> Envelope | None:
        envelope = self._reader.take(paused=paused)
        if envelope is not None and not self._sent():
            raise self._process.out_of_step()
        return envelope

    def _wait(self) -> list[tuple[int, int]]:
        """Wait for an event; [] after a pause in which a reply without newline may be tried."""
        remaining_s = self._leave_if_late()
        wait_s = min(remaining_s, self._pause_s) if self._reader.looks_whole else remaining_s
        return self._poller.poll(math.ceil(wait_s * 1000))

    def _leave_if_late(self) -> float:
        """Return the seconds that are left; kill the process where none are."""
        remaining_s = self._deadline.remaining()
        if remaining_s <= 0:
            # First of all, so that it cannot take the request after it was asked whether it has.
            self._child.kill(_DEATH_WAIT_S)
            raise _OutOfTime(sent=self._sent())
        return remaining_s

    def _write(self) -> None:
        while self._left:
            try:
                self._left = self._left[os.write(self._child.stdin, self._left) :]
            except BlockingIOError:
                self._watch_stdin(True)
                return
            except OSError as exc:
                if exc.errno != errno.EPIPE:
                    raise
                # It reads no more; whether it answers all the same, its stdout tells.
                break
        self._watch_stdin(False)

    def _watch_stdin(self, wanted: bool) -> None:
        if wanted != self._writing:
            self._writing = wanted
            if wanted:
                self._poller.register(self._child.stdin, select.POLLOUT)
            else:
                self._poller.unregister(self._child.stdin)

    def _read(self) -> bool:
        """Read what is there. Returns False at the end of the stream."""
        size = 0
        while size < _MOST_AT_ONCE:
            try:
                chunk = os.read(self._child.stdout, _CHUNK)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self._reader.feed(chunk)
            size += len(chunk)
        return True

    def _sent(self) -> bool:
        """Tell whether the process took a byte of the request, and not the first one alone."""
        if self._kept_back:
            return False
        written = self._size - len(self._left)
        return written > self._child.unread_bytes()

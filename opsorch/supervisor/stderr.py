"""A plugin's standard error: drained for ever, logged line by line, its end kept for messages."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Final

TAIL_BYTES: Final = 4096
TAIL_LINES: Final = 5
LINE_CHARS: Final = 1000
LINES_PER_S: Final = 50.0
BURST_LINES: Final = 200.0
# A secret that is cut in two cannot be told: more is kept than is shown.
_KEPT_BYTES: Final = TAIL_BYTES * 2
_LINE_BYTES: Final = LINE_CHARS * 4 + 1024
_CHUNK: Final = 64 * 1024
# A flood must not keep the one draining thread from the other plugins.
_CHUNKS_A_TURN: Final = 16


class StderrDrain:
    """Reads one plugin's stderr. Safe for threads."""

    def __init__(
        self,
        descriptor: int,
        redact: Callable[[str], str],
        log: Callable[[str, int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            descriptor: Our end of the pipe, non-blocking.
            redact: Takes secrets out of a line.
            log: Called with each line, and the number of lines dropped before it.
            clock: Monotonic seconds, for the rate limit.
        """
        self._descriptor = descriptor
        self._redact = redact
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._tail = b""
        self._line = b""
        self._cut = False
        self._budget = BURST_LINES
        self._filled_at = clock()
        self._dropped = 0

    def drain(self) -> bool:
        """Read what is there. Returns False at the end of the stream."""
        with self._lock:
            for _ in range(_CHUNKS_A_TURN):
                try:
                    chunk = os.read(self._descriptor, _CHUNK)
                except BlockingIOError:
                    return True
                except OSError:
                    return False
                if not chunk:
                    self._end_line()
                    return False
                self._take(chunk)
            return True

    def _take(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-_KEPT_BYTES:]
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._add(line)
            self._end_line()
        self._add(rest)

    def _add(self, part: bytes) -> None:
        # Four bytes a character at most; what comes after the limit is dropped as it comes.
        room = _LINE_BYTES - len(self._line)
        self._cut |= len(part) > room
        self._line += part[:room]

    def _end_line(self) -> None:
        line, cut = self._line, self._cut
        self._line, self._cut = b"", False
        if not line.strip():
            return
        now = self._clock()
        refill = (now - self._filled_at) * LINES_PER_S
        self._budget = min(BURST_LINES, self._budget + refill)
        self._filled_at = now
        if self._budget < 1:
            self._dropped += 1
            return
        self._budget -= 1
        text = self._redact(line.decode("utf-8", "replace"))
        text = f"{text[:LINE_CHARS]}…" if cut or len(text) > LINE_CHARS else text
        dropped, self._dropped = self._dropped, 0
        with contextlib.suppress(Exception):
            self._log(text.rstrip(), dropped)

    def last_lines(self) -> str:
        """Return the last lines, redacted, on one line; "" where it wrote none."""
        self.drain()
        text = self._redact(self._tail.decode("utf-8", "replace"))[-TAIL_BYTES:]
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " | ".join(line[:300] for line in lines[-TAIL_LINES:])

"""Structured logs on stderr: JSON for machines, or a console format for people.

Lines go through a bounded queue to one writing thread: a reader of the log that stalls or is gone
costs lines, never a request.
"""

import contextlib
import functools
import logging
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Final

import msgspec
import structlog

from opsorch.observability.events import EVENTS

QUEUE_LINES: Final = 20_000
AUDIT_LOGGER: Final = "opsorch.audit"

Fields = MutableMapping[str, Any]

# What people look for stands at the start of the line.
_FIRST: Final = ("timestamp", "level", "event")


class Sink:
    """Writes lines to a descriptor from a thread of its own, started by the first line.

    Attributes:
        on_lost: Told how many lines were lost: dropped, or refused by the descriptor.
        render: Makes a line of an event of the sink's own, in the format of all others.
    """

    def __init__(self, descriptor: int = 2, most: int = QUEUE_LINES) -> None:
        """Prepare.

        Args:
            descriptor: Where to write; a broken one only loses lines.
            most: Lines that wait at most; what comes beyond is dropped and counted.
        """
        self._descriptor = descriptor
        self._most = most
        self.on_lost: Callable[[int], None] = lambda lines: None
        self.render: Callable[..., str] = functools.partial(_rendered, (*_STAMPS, to_json))
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = False
        self._dropped = 0
        self._busy = False

    def write(self, line: str) -> None:
        """Queue one line. Never blocks, never raises."""
        if self._lines.qsize() >= self._most:
            self._dropped += 1
            self.on_lost(1)
            return
        self._lines.put(line)
        if not self._started:
            with self._lock:
                if not self._started:
                    with contextlib.suppress(RuntimeError):
                        # No thread to be had: the line waits, and the next one tries again.
                        threading.Thread(
                            target=self._serve, name="opsorch-log", daemon=True
                        ).start()
                        self._started = True

    def flush(self, within_s: float = 1.0) -> bool:
        """Wait until every line is written, at most so long. Tells whether all are."""
        until = time.monotonic() + within_s
        pause = threading.Event()
        while (self._busy or not self._lines.empty()) and time.monotonic() < until:
            pause.wait(0.005)
        return self._lines.empty() and not self._busy

    def _serve(self) -> None:
        while True:
            line = self._lines.get()
            self._busy = True
            batch = [line]
            with contextlib.suppress(queue.Empty):
                while len(batch) < 100:
                    batch.append(self._lines.get_nowait())
            dropped, self._dropped = self._dropped, 0
            if dropped:
                batch.append(self.render("log.dropped", lines=dropped))
            self._write("\n".join(batch).encode("utf-8", "backslashreplace") + b"\n")
            self._busy = False

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                # Somebody made the shared descriptor non-blocking: wait for room.
                _wait_writable(self._descriptor)
            except OSError:
                self.on_lost(bytes(view).count(b"\n"))
                return


def _wait_writable(descriptor: int) -> None:
    import select

    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    poller.poll(1000)


class _SinkLogger:
    """What structlog writes to."""

    def __init__(self, sink: Sink) -> None:
        self._write = sink.write

    def msg(self, message: str) -> None:
        self._write(message)

    log = debug = info = warn = warning = error = critical = failure = fatal = msg


class _SinkHandler(logging.Handler):
    """Takes what libraries log through the standard library."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._sink.write(self.format(record))
        except Exception:  # noqa: BLE001  A log line must never fail what it tells of.
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  The library's name.
        """Drop the line: printing a traceback could block like the sink itself."""


def to_json(_logger: Any, _name: str, fields: Fields) -> str:
    """Render one line of JSON; what JSON has no form for is written as text."""
    first = {name: fields.pop(name) for name in _FIRST if name in fields}
    fields = {**first, **fields}
    try:
        return msgspec.json.encode(fields, enc_hook=str).decode()
    except (UnicodeEncodeError, ValueError, RecursionError):
        return msgspec.json.encode({name: repr(value) for name, value in fields.items()}).decode()


_STAMPS: Final = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def _rendered(processors: Iterable[Any], event: str, /, **facts: object) -> str:
    """Render an event of the table without structlog, whose lines end in the sink."""
    line: Any = {"event": event, **facts}
    for process in processors:
        line = process(None, EVENTS[event].level, line)
    return str(line)


_unprintable = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def one_line(_logger: Any, _name: str, fields: Fields) -> Fields:
    """Escape what would begin another line, or speak to the terminal; JSON does it by itself."""
    for name, value in fields.items():
        if isinstance(value, str):
            fields[name] = _unprintable.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
    return fields


def configure_logs(level: str, style: str, sink: Sink) -> None:
    """Set up structlog and the standard library's logging.

    Args:
        level: debug, info, warning or error.
        style: json or console.
        sink: Where lines go.
    """
    number = getattr(logging, level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        *_STAMPS,
    ]
    render: Any = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    if style == "json":
        without_locals = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        shared.append(structlog.processors.ExceptionRenderer(without_locals))
        render = to_json
    else:
        shared.append(one_line)
    sink.render = functools.partial(_rendered, (*shared, render))
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _SinkLogger(sink),
    )
    handler = _SinkHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    # Its debug lines hold URLs with their query strings.
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    logging.captureWarnings(True)


def begin_request(request_id: str) -> None:
    """Have every line that this thread logs carry the id, until ``end_request``."""
    structlog.contextvars.bind_contextvars(request_id=request_id)


def end_request() -> None:
    """Forget the id of the request."""
    structlog.contextvars.unbind_contextvars("request_id")


def emit(event: str, /, **facts: object) -> None:
    """Log an event of the table, at its level. Never raises."""
    emit_at(EVENTS[event].level, event, **facts)


def emit_at(level: str, event: str, /, **facts: object) -> None:
    """Log an event of the table at a level that is not its usual one. Never raises."""
    getattr(structlog.get_logger(), level)(event, **facts)


class Audit:
    """Writes the audit log: one JSON line a successful call, in every log format and level."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, fields: Fields) -> None:
        """Write one line."""
        self._sink.write(to_json(None, "", {"logger": AUDIT_LOGGER, **fields}))

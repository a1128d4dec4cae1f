"""The table of log events: what each means, and how loud it is. docs/events.md is made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event.

    Attributes:
        level: debug, info, warning or error.
        help: When it is told.
        facts: Names of its fields, apart from those that every line has.
    """

    level: str
    help: str
    facts: tuple[str, ...] = ()


EVENTS: Final[Mapping[str, Event]] = {
    "gateway.starting": Event("info", "The gateway starts.", ("address", "workers", "version")),
    "gateway.ready": Event("info", "A worker takes requests.", ("capabilities", "worker")),
    "gateway.open": Event(
        "warning",
        "No bearer token is set although others than this machine can connect.",
        ("address",),
    ),
    "gateway.exhausted": Event(
        "error",
        "A worker cannot accept a connection: the system refuses. Raise its limits.",
        ("worker", "reason"),
    ),
    "connection.stalled": Event(
        "info",
        "A connection is given up: its header did not come, or its answer was not read, in time.",
        ("worker", "what"),
    ),
    "gateway.stopping": Event("info", "A worker drains its plugins.", ("worker", "reason")),
    "gateway.stopped": Event("info", "A worker's plugins are gone.", ("worker", "clean")),
    "metrics.unreadable": Event(
        "warning", "The counts of a worker that ended cannot be kept.", ("worker", "error")
    ),
    "settings.unknown": Event(
        "warning", "Variables that nobody reads; likely typing errors.", ("names",)
    ),
    "settings.unsupported": Event(
        "warning",
        "Variables of what this version does not have yet; they change nothing.",
        ("names",),
    ),
    "settings.refused": Event(
        "error", "Changed settings do not parse at a reload; the old ones stay.", ("faults",)
    ),
    "capability.off": Event(
        "error", "A capability's own configuration cannot be used.", ("capability", "reason")
    ),
    "request.completed": Event(
        "info",
        "One line a request; a warning from status 500 on.",
        ("method", "path", "status", "duration_ms", "capability", "operation", "code", "message"),
    ),
    "request.refused": Event(
        "info", "The server itself answers what is no request it can read.", ("status", "reason")
    ),
    "request.failed": Event(
        "error", "A defect of the gateway; with its traceback.", ("method", "path")
    ),
    "process.started": Event("info", "A plugin process runs.", ("capability", "pid")),
    "process.start_failed": Event(
        "error", "A plugin process could not be started.", ("capability", "reason", "stderr")
    ),
    "process.retired": Event(
        "info",
        "A process is drained: idle for too long, too many calls, too much memory.",
        ("capability", "pid", "reason"),
    ),
    "process.signalled": Event(
        "warning", "A draining process needs a signal to leave.", ("capability", "pid", "signal")
    ),
    "process.exited": Event(
        "info", "A plugin process is gone and reaped.", ("capability", "pid", "status", "calls")
    ),
    "process.died": Event(
        "warning",
        "A process ended with a call unanswered.",
        ("capability", "method", "pid", "status", "sent", "stderr"),
    ),
    "plugin.suspect": Event(
        "warning", "A plugin's file is odd, but is run.", ("capability", "path", "what")
    ),
    "lease.discarded": Event(
        "info", "A process is destroyed rather than used again.", ("capability", "pid", "reason")
    ),
    "checkout.waited": Event("debug", "A call waited for a process.", ("capability", "seconds")),
    "call.retried": Event(
        "info", "A call is tried again on a new process.", ("capability", "method", "sent")
    ),
    "call.finished": Event(
        "debug",
        "A call ended; code is ok or that of its error.",
        ("capability", "method", "code", "seconds"),
    ),
    "breaker.opened": Event(
        "warning", "No process is started for a while.", ("capability", "seconds")
    ),
    "breaker.closed": Event("info", "A reply came: starting is allowed again.", ("capability",)),
    "stream.lost": Event(
        "warning", "A process wrote while no call was in flight.", ("capability", "pid")
    ),
    "stdout.skipped": Event(
        "warning",
        "Text on stdout where a reply belongs.",
        ("capability", "pid", "line", "dropped"),
    ),
    "stderr.line": Event(
        "info", "A line of a plugin's stderr.", ("capability", "pid", "line", "dropped")
    ),
    "stray.killed": Event("warning", "A descendant of a plugin that had left its group.", ("pid",)),
    "log.dropped": Event("warning", "Lines of the log were lost: nobody read it.", ("lines",)),
    "keeper.failed": Event("error", "A defect in the care of processes.", ("error",)),
}

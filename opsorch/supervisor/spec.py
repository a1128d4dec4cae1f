"""What a pool must know of a plugin."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Emit(Protocol):
    """Takes an event: its name, and facts about it."""

    def __call__(self, event: str, /, **facts: object) -> None:
        """Tell of an event. Never raises, never blocks for long."""


def _unchanged(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class PluginSpec:
    """A plugin and the limits of its pool.

    Attributes:
        label: What it is called in messages and logs, for example ``incident``.
        command: Executable and arguments.
        shown: What the user configured for it, for messages; "": the executable.
        setting: The variable that names it, for messages.
        prefix: What the names of its limits' variables begin with, for messages.
        environ: Everything that its environment holds.
        redact: Takes secrets out of what it writes.
        pool_size: Processes at most.
        min_idle: Processes kept waiting, started ahead.
        queue_timeout_s: How long a call waits for a process.
        idle_timeout_s: A process idle for longer is drained.
        max_calls: Calls after which a process is drained, jittered; 0: never.
        max_reply_bytes: Size of a reply at most.
        max_memory_mb: Resident memory above which it is drained after a reply; 0: no limit.
        nice: Niceness added; 0: no change.
    """

    label: str
    command: tuple[str, ...]
    shown: str = ""
    setting: str = "its setting"
    prefix: str = "OPSORCH_PLUGIN_"
    environ: Mapping[str, str] = field(default_factory=dict)
    redact: Callable[[str], str] = _unchanged
    pool_size: int = 4
    min_idle: int = 0
    queue_timeout_s: float = 5.0
    idle_timeout_s: float = 300.0
    max_calls: int = 0
    max_reply_bytes: int = 64 * 1024 * 1024
    max_memory_mb: int = 0
    nice: int = 0

    @property
    def title(self) -> str:
        """What it is called in messages, beside its label."""
        return self.shown or self.command[0]

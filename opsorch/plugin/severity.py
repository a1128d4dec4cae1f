"""Severities of logs: one vocabulary over all sources, so that one filter serves all.

A vendor adds the words that only it has; what neither knows is shown in lower case.
"""

from collections.abc import Mapping
from typing import Final

# The class, and how it is spelled in many places; the worst first.
SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "critical": ("critical", "crit", "fatal", "emergency", "emerg", "alert", "panic"),
    "error": ("error", "err"),
    "warning": ("warning", "warn"),
    "info": ("info", "information", "informational", "notice"),
    "debug": ("debug",),
    "trace": ("trace", "verbose"),
}
# The mildest first.
SEVERITIES: Final = tuple(reversed(list(SPELLINGS)))


def with_own(own: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the spellings of each class, a vendor's own behind the common ones."""
    return {name: (*spellings, *own.get(name, ())) for name, spellings in SPELLINGS.items()}


def classes_of(spellings: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return the class of each spelling."""
    return {word: name for name, words in spellings.items() for word in words}

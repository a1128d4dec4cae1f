"""Severities of logs: Datadog's statuses and the one vocabulary over all sources of logs.

Source: https://docs.datadoghq.com/logs/log_configuration/processors/log_status_remapper/ (the
statuses that Datadog gives; others stay as they came).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from opsorch.plugin.severity import SPELLINGS, classes_of

# The class, and the statuses that are of it. What is shown as a class is found by it.
STATUSES: Final[Mapping[str, tuple[str, ...]]] = {
    "critical": ("critical", "alert", "emergency", "fatal"),
    "error": ("error",),
    "warning": ("warn", "warning"),
    "info": ("info", "notice", "ok"),
    "debug": ("debug",),
    "trace": ("trace",),
}
# Queries may use every common spelling.
_CLASS_OF: Final[Mapping[str, str]] = {**classes_of(SPELLINGS), **classes_of(STATUSES)}


def severity_of(status: str) -> str:
    """Return the class of a status; unknown ones pass in lower case."""
    word = status.strip().lower()
    return _CLASS_OF.get(word, word)


def statuses_for(severities: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the statuses of the asked severities, and the words that are no known severity."""
    known: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for severity in severities:
        name = _CLASS_OF.get(severity.strip().lower())
        if name is not None:
            known.update(dict.fromkeys(STATUSES[name]))
        elif severity.strip():
            unknown[severity.strip()] = None
    return list(known), list(unknown)

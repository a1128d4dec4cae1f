"""States and severities of incidents, in callers' words and in Datadog's.

Sources: https://docs.datadoghq.com/service_management/incident_management/ (states), and
https://docs.datadoghq.com/api/latest/incidents/ (IncidentSeverity). Organisations rename their
severities.
"""

from collections.abc import Mapping
from typing import Final

from opsorch_plugins.datadog.words import severity_word

_ACTIVE: Final = ("open", "triggered", "new", "active", "declared")
_STABLE: Final = (
    "acknowledged",
    "investigating",
    "identified",
    "mitigated",
    "monitoring",
    "stable",
)
_DONE: Final = ("closed", "completed")

# The state that a word sets. An incident is completed by a person, in Datadog itself.
STATE_TO_WRITE: Final[Mapping[str, str]] = {
    **dict.fromkeys(_ACTIVE, "active"),
    **dict.fromkeys(_STABLE, "stable"),
    **dict.fromkeys(("resolved", *_DONE), "resolved"),
}
# The states that a word finds.
STATES_TO_FIND: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(_ACTIVE, ("active",)),
    **dict.fromkeys(_STABLE, ("stable",)),
    "resolved": ("resolved",),
    **dict.fromkeys(_DONE, ("resolved", "completed")),
}
_STATUS_OF_STATE: Final[Mapping[str, str]] = {
    "active": "open",
    "stable": "investigating",
    "resolved": "resolved",
    "completed": "closed",
}
_SEVERITIES: Final[Mapping[str, str]] = {
    "sev0": "SEV-0",
    "critical": "SEV-1",
    "high": "SEV-2",
    "medium": "SEV-3",
    "low": "SEV-4",
    "info": "SEV-5",
    "unknown": "UNKNOWN",
}


def status_of(state: str) -> str:
    """Return the status of a state; none is open, unknown ones pass in lower case."""
    word = state.strip().lower()
    return _STATUS_OF_STATE.get(word, word) or "open"


class Severities:
    """The severities of one organisation."""

    def __init__(self, configured: Mapping[str, str]) -> None:
        """Take the configured names of the classes; the others keep Datadog's."""
        self._name_of = {**_SEVERITIES, **configured}
        by_name = {name: level for level, name in _SEVERITIES.items()}
        by_name.update({name.upper(): level for level, name in configured.items()})
        self._class_of = {n: "critical" if c == "sev0" else c for n, c in by_name.items()}
        spelled = {name.upper(): name for name in self._name_of.values()}
        self._names = {name: spelled.get(name, name) for name in self._class_of}

    def read(self, raw: str) -> str:
        """Return the class of a severity; none is unknown, others pass in lower case."""
        return self._class_of.get(raw.strip().upper(), raw.strip().lower()) or "unknown"

    def to_write(self, word: str) -> str:
        """Return Datadog's name of a severity.

        Raises:
            BadRequest: The word means none.
        """
        return self._name_of[severity_word(word, "severity")]

    def to_find(self, word: str) -> list[str]:
        """Return Datadog's names of all severities that are shown as the class.

        Raises:
            BadRequest: The word means none.
        """
        wanted = severity_word(word, "severities")
        if wanted == "sev0":
            return [self._name_of["sev0"]]
        return [self._names[name] for name, level in self._class_of.items() if level == wanted]

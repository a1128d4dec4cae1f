"""What an AlertQuery asks for: Datadog's parameters, and what is left to do here.

Source: https://docs.datadoghq.com/api/latest/monitors/#get-all-monitors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import (
    Json,
    flag_of,
    limit_of,
    object_of,
    one_or_more_of,
    scope_of,
    strings_of,
    text_of,
    words_of,
)
from opsorch.plugin.vendor import as_text
from opsorch_plugins.datadog.alert_mapping import is_muted, severity_of
from opsorch_plugins.datadog.log_syntax import printable
from opsorch_plugins.datadog.tags import scope_tags
from opsorch_plugins.datadog.words import severity_word

_MUTED: Final = "muted"
_ALERT: Final = ("Alert",)
_OPEN: Final = ("Alert", "Warn", "No Data")
_WARN: Final = ("Warn",)
_OK: Final = ("OK",)
_UNKNOWN: Final = ("No Data", "Skipped", "Unknown")
# An ignored monitor is shown as suppressed, so that the word finds it, too.
_SUPPRESSED: Final = (_MUTED, "Ignored")
# The states that a word asks for; "muted" is a downtime, whatever the state.
STATUSES: Final[Mapping[str, tuple[str, ...]]] = {
    "firing": _ALERT,
    "alert": _ALERT,
    "alerting": _ALERT,
    "triggered": _ALERT,
    "open": _OPEN,
    "active": _OPEN,
    "warning": _WARN,
    "warn": _WARN,
    "resolved": _OK,
    "ok": _OK,
    "closed": _OK,
    "unknown": _UNKNOWN,
    "nodata": _UNKNOWN,
    "no_data": _UNKNOWN,
    "no data": _UNKNOWN,
    "skipped": _UNKNOWN,
    "suppressed": _SUPPRESSED,
    "muted": _SUPPRESSED,
    "silenced": _SUPPRESSED,
    "ignored": ("Ignored",),
}


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """An AlertQuery, read and checked.

    Attributes:
        params: What Datadog filters by.
        states: Wanted states, and "muted"; empty for all.
        severities: Wanted classes; empty for all.
        types: Wanted types of monitors; empty for all.
        muted: Whether a downtime must, or must not, be active; None for either.
        limit: Number of alerts at most.
    """

    params: tuple[tuple[str, str], ...]
    states: frozenset[str]
    severities: frozenset[str]
    types: frozenset[str]
    muted: bool | None
    limit: int

    def fits(self, raw: Json, now_s: float) -> bool:
        """Tell whether a monitor, which fits the parameters, is wanted."""
        muted = is_muted(raw, now_s)
        if self.muted is not None and muted != self.muted:
            return False
        if self.types and str(raw.get("type")).casefold() not in self.types:
            return False
        state = as_text(raw.get("overall_state"))
        if self.states and state not in self.states and not (muted and _MUTED in self.states):
            return False
        return not self.severities or severity_of(raw) in self.severities


def filter_of(payload: Json, keys: Mapping[str, str], most: int) -> AlertFilter:
    """Read an AlertQuery. Makes no call.

    Args:
        payload: The AlertQuery.
        keys: Tag keys of service, team and environment.
        most: Number of alerts where no limit is given, and at most.

    Raises:
        BadRequest: A part does not fit; names it.
    """
    metadata = object_of(payload, "metadata")
    states = words_of(STATUSES, strings_of(payload, "statuses"), "statuses")
    params: list[tuple[str, str]] = []
    query = printable(text_of(payload, "query"), "query").strip()
    if query:
        params.append(("name", query))
    tags = scope_tags(scope_of(payload), keys)
    if tags:
        params.append(("monitor_tags", ",".join(tags)))
    return AlertFilter(
        tuple(params),
        frozenset(state for group in states for state in group),
        frozenset(_severity(word) for word in strings_of(payload, "severities")),
        frozenset(word.casefold() for word in one_or_more_of(metadata, "type", where="metadata.")),
        flag_of(metadata, "muted", where="metadata."),
        min(limit_of(payload, default=most, most=most), most),
    )


def _severity(word: str) -> str:
    """Return the class of a severity; monitors have none above critical."""
    found = severity_word(word, "severities")
    if found == "unknown":
        raise BadRequest("severities: every monitor has a severity; 'unknown' finds none")
    return "critical" if found == "sev0" else found

"""An incident query: the parameters that PagerDuty takes, and what is left to do here."""

from dataclasses import dataclass, field
from typing import Final

from opsorch.errors import BadRequest
from opsorch.plugin import Call
from opsorch.plugin.payload import (
    Json,
    all_words_in,
    limit_of,
    object_of,
    scope_of,
    strings_of,
    text_of,
    words_of,
)
from opsorch.plugin.times import given_time
from opsorch.plugin.vendor import object_in, text_in
from opsorch_plugins.pagerduty.client import PagerDuty
from opsorch_plugins.pagerduty.lookups import ids_in, matching_ids
from opsorch_plugins.pagerduty.mapping import (
    SEVERITY_IN,
    STATUS_IN,
    Reading,
    incident_of,
    priority_severity,
)

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000


@dataclass(frozen=True)
class IncidentFilter:
    """What an IncidentQuery asks for.

    Attributes:
        parameters: For PagerDuty, without those of the scope.
        severities: Wanted ones; incidents with another one by priority are dropped here.
        query: Words that must all occur; PagerDuty has no text search.
        limit: Number of incidents to return at most.
        service: Name in the scope, "" for any; likewise team.
        service_ids: Ids in the metadata, beside those of the scope; likewise team_ids.
    """

    parameters: list[tuple[str, str]]
    severities: list[str]
    query: str
    limit: int
    service: str = ""
    team: str = ""
    service_ids: list[str] = field(default_factory=list)
    team_ids: list[str] = field(default_factory=list)

    def filters_here(self, reading: Reading) -> bool:
        """Tell whether PagerDuty's list may hold incidents that are not wanted."""
        return bool(self.query or (self.severities and reading.by_priority))

    def fits(self, raw: Json, reading: Reading) -> bool:
        """Tell whether an incident, which fits the parameters, is wanted."""
        severity = priority_severity(raw, reading)
        if self.severities and severity and severity not in self.severities:
            return False
        return not self.query or all_words_in(self.query, _texts_of(raw, reading))

    def resolved(self, pagerduty: PagerDuty, call: Call) -> list[tuple[str, str]] | None:
        """Return the parameters with the scope's names as ids; None where a name means nothing."""
        found = list(self.parameters)
        for key, name, given in (
            ("services", self.service, self.service_ids),
            ("teams", self.team, self.team_ids),
        ):
            ids = given + (matching_ids(pagerduty, key, name, call) if name else [])
            if name and not ids:
                return None
            found += [(f"{key[:-1]}_ids[]", item) for item in dict.fromkeys(ids)]
        return found


def filter_of(payload: Json) -> IncidentFilter:
    """Read an IncidentQuery. Makes no call.

    Raises:
        BadRequest: A word, time or id does not fit; names it.
    """
    scope = scope_of(payload)
    metadata = object_of(payload, "metadata")
    statuses = words_of(STATUS_IN, strings_of(payload, "statuses"), "statuses")
    wanted = words_of(SEVERITY_IN, strings_of(payload, "severities"), "severities")
    urgencies = dict.fromkeys(known.urgency for known in wanted)
    parameters = [
        ("sort_by", "created_at:desc"),
        *(("statuses[]", status) for status in statuses),
        *(("urgencies[]", urgency) for urgency in urgencies),
        *(("user_ids[]", item) for item in ids_in(metadata, "user_id", "user_ids")),
        *_window_of(metadata, statuses),
    ]
    return IncidentFilter(
        parameters,
        [known.severity for known in wanted],
        text_of(payload, "query").strip(),
        limit_of(payload, default=DEFAULT_LIMIT, most=MAX_LIMIT),
        scope.get("service", ""),
        scope.get("team", ""),
        ids_in(metadata, "service_id", "service_ids"),
        ids_in(metadata, "team_id", "team_ids"),
    )


def _window_of(metadata: Json, statuses: list[str]) -> list[tuple[str, str]]:
    """Return the time window: PagerDuty's own is the last month, which loses old open incidents.

    Source: https://developer.pagerduty.com/api-reference/9d0b4b12e36f9-list-incidents
    """
    everything = [("date_range", "all")]
    date_range = text_of(metadata, "date_range", where="metadata.").strip()
    if date_range not in ("", "all"):
        raise BadRequest("metadata.date_range may only be all; for less, give since and until")
    window = [(name, _time_of(metadata, name)) for name in ("since", "until")]
    given = [(name, time) for name, time in window if time]
    key = text_of(metadata, "incident_key", where="metadata.")
    if key:
        # With date_range, since and until are not looked at.
        return [("incident_key", key), *everything]
    if date_range:
        return everything
    if statuses and "resolved" not in statuses and not given:
        return everything
    return given


def _time_of(metadata: Json, name: str) -> str:
    given = given_time(metadata, name, where="metadata.")
    return str(metadata[name]).strip() if given else ""


def _texts_of(raw: Json, reading: Reading) -> list[object]:
    """Return where the words of a query are looked for."""
    incident = incident_of(raw, reading)
    return [
        incident["title"],
        incident.get("description"),
        raw.get("incident_number"),
        text_in(raw, "incident_key"),
        text_in(object_in(raw, "service"), "summary"),
    ]

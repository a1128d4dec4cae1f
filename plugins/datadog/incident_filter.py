"""What an IncidentQuery asks for: a search that Datadog runs, and what is left to do here.

Source: https://docs.datadoghq.com/api/latest/incidents/#search-for-incidents.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from opsorch.plugin.payload import (
    Json,
    all_words_in,
    limit_of,
    scope_of,
    strings_of,
    text_of,
    words_of,
)
from opsorch.plugin.vendor import as_text, object_in
from opsorch_plugins.datadog.incident_mapping import service_value, texts_of, values_of
from opsorch_plugins.datadog.incident_words import STATES_TO_FIND, Severities

MAX_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """An IncidentQuery, read and checked.

    Attributes:
        search: Search for Datadog, made of words of our own tables alone; "" lists all.
        query: Words that must all occur.
        scope: Wanted service, team and environment.
        names: Datadog's names of the properties, by concept.
        limit: Number of incidents at most.
    """

    search: str
    query: str
    scope: Mapping[str, str]
    names: Mapping[str, str]
    limit: int

    def fits(self, raw: Json) -> bool:
        """Tell whether an incident, which fits the search, is wanted."""
        attributes = object_in(raw, "attributes")
        values = values_of(attributes)
        for part, wanted in self.scope.items():
            value = values.get(self.names[part])
            found = service_value(values, self.names) if part == "service" else value
            if wanted.casefold() not in (text.casefold() for text in texts_of(found)):
                return False
        texts = (
            as_text(attributes.get("title")),
            as_text(values.get(self.names["description"])),
            attributes.get("public_id"),
        )
        return all_words_in(self.query, texts)


def filter_of(
    payload: Json, names: Mapping[str, str], severities: Severities, default_limit: int
) -> IncidentFilter:
    """Read an IncidentQuery. Makes no call.

    Raises:
        BadRequest: A word or the limit does not fit.
    """
    groups = words_of(STATES_TO_FIND, strings_of(payload, "statuses"), "statuses")
    states = [state for group in groups for state in group]
    asked = strings_of(payload, "severities")
    levels = [name for word in asked for name in severities.to_find(word)]
    limit = limit_of(payload, default=default_limit, most=MAX_LIMIT)
    return IncidentFilter(
        " AND ".join([*_any_of("state", states), *_any_of("severity", levels)]),
        text_of(payload, "query").strip(),
        scope_of(payload),
        names,
        min(limit, MAX_LIMIT),
    )


def _any_of(name: str, values: list[str]) -> list[str]:
    return [f"{name}:({' OR '.join(dict.fromkeys(values))})"] if values else []

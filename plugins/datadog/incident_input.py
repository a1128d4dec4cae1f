"""Created and changed incidents as attributes for Datadog, and what of them did not stick.

Source: https://docs.datadoghq.com/api/latest/incidents/ (IncidentCreateAttributes,
IncidentUpdateAttributes, IncidentFieldAttributes; all properties but the title go into ``fields``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import (
    Json,
    flag_of,
    object_of,
    objects_of,
    required_text,
    text_of,
    word_of,
)
from opsorch.plugin.times import format_time, given_time
from opsorch.plugin.vendor import as_text
from opsorch_plugins.datadog.incident_mapping import (
    severity_name,
    state_name,
    texts_of,
    values_of,
)
from opsorch_plugins.datadog.incident_words import STATE_TO_WRITE, Severities

_TYPES: Final = frozenset(
    {"dropdown", "textbox", "multiselect", "textarray", "metrictag", "autocomplete"}
)
# The types of Datadog's own properties, by concept.
_TYPE_OF: Final[Mapping[str, str]] = {
    "status": "dropdown",
    "severity": "dropdown",
    "service": "autocomplete",
    "team": "autocomplete",
    "description": "textbox",
}
_LISTS: Final = frozenset({"multiselect", "textarray", "metrictag", "autocomplete"})
_TIMES: Final = ("customer_impact_start", "customer_impact_end", "detected")
_WHERE: Final = "metadata."


@dataclass(frozen=True, slots=True)
class Properties:
    """How one organisation names what an incident has.

    Attributes:
        names: Datadog's names of the properties, by concept.
        severities: The organisation's severities.
        incident_type: Type of created incidents, "" for the organisation's default.
    """

    names: Mapping[str, str]
    severities: Severities
    incident_type: str = ""

    def value(self, concept: str, value: str) -> Json:
        """Return a property of a concept, by name."""
        return {self.names[concept]: _typed(_TYPE_OF[concept], value)}

    def type_of(self, name: str) -> str | None:
        """Return the type of a property of Datadog's own, None for others."""
        concepts = (concept for concept, known in self.names.items() if known == name)
        return _TYPE_OF.get(next(concepts, ""))


def _typed(kind: str, value: Any) -> Json:
    if kind not in _LISTS:
        return {"type": kind, "value": value}
    values = value if isinstance(value, list) else [value]
    return {"type": kind, "value": [item for item in values if item not in (None, "")]}


def created_attributes(given: Json, properties: Properties) -> Json:
    """Return the attributes of a new incident.

    Raises:
        BadRequest: The input does not fit.
    """
    metadata = object_of(given, "metadata")
    attributes: Json = {"title": required_text(given, "title")}
    told = {name: value for name, value in given.items() if value not in (None, "")}
    fields = _fields(told, properties)
    impact = _impact(metadata)
    attributes["customer_impacted"] = impact.pop("customer_impacted", False)
    if attributes["customer_impacted"]:
        impact.setdefault("customer_impact_scope", "unknown")
    attributes.update(impact)
    incident_type = text_of(metadata, "incident_type_uuid", where=_WHERE).strip()
    if incident_type or properties.incident_type:
        attributes["incident_type_uuid"] = incident_type or properties.incident_type
    is_test = flag_of(metadata, "is_test", where=_WHERE)
    if is_test is not None:
        attributes["is_test"] = is_test
    return {**attributes, **_handles(metadata), **({"fields": fields} if fields else {})}


def changed_attributes(given: Json, properties: Properties) -> Json:
    """Return the attributes that an update changes.

    Raises:
        BadRequest: The input does not fit, or changes nothing.
    """
    metadata = object_of(given, "metadata")
    attributes: Json = {}
    if given.get("title") is not None:
        attributes["title"] = required_text(given, "title")
    told = {name: value for name, value in given.items() if value is not None}
    fields = _fields(told, properties)
    attributes.update(_impact(metadata))
    for name in _TIMES:
        moment = given_time(metadata, name, where=_WHERE)
        if moment is not None:
            attributes[name] = format_time(moment)
    attributes.update(_handles(metadata))
    if fields:
        attributes["fields"] = fields
    if not attributes:
        raise BadRequest("the update holds nothing that can be changed")
    return attributes


def _fields(told: Json, properties: Properties) -> Json:
    """Return the properties of an input; its own fields win over ``fields``."""
    found: Json = {}
    for name, value in object_of(told, "fields").items():
        if value is not None:
            concept = name if name in ("team", "environment") else ""
            property_name = properties.names[concept] if concept else name
            found[property_name] = _field(name, value, properties.type_of(property_name))
    if "status" in told:
        state = word_of(STATE_TO_WRITE, text_of(told, "status"), "status")
        found.update(properties.value("status", state))
    if "severity" in told:
        severity = properties.severities.to_write(text_of(told, "severity"))
        found.update(properties.value("severity", severity))
    if "service" in told:
        found.update(properties.value("service", text_of(told, "service").strip()))
    if "description" in told:
        found.update(properties.value("description", text_of(told, "description")))
    return found


def _field(name: str, value: Any, known_type: str | None) -> Json:
    """Write one property.

    Raises:
        BadRequest: It is an object that is no ``{type, value}``.
    """
    if isinstance(value, dict):
        if set(value) != {"type", "value"} or as_text(value["type"]) not in _TYPES:
            raise BadRequest(
                f"fields.{name} must be a value, or {{type, value}} with one of the types"
                f" {', '.join(sorted(_TYPES))}"
            )
        return value
    if isinstance(value, list):
        kind = known_type if known_type in _LISTS else "multiselect"
        return _typed(kind, [_text(item) for item in value])
    return _typed(known_type or "textbox", _text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _impact(metadata: Json) -> Json:
    found: Json = {}
    impacted = flag_of(metadata, "customer_impacted", where=_WHERE)
    if impacted is None:
        impacted = flag_of(metadata, "customerImpacted", where=_WHERE)
    if impacted is not None:
        found["customer_impacted"] = impacted
    scope = text_of(metadata, "customer_impact_scope", where=_WHERE).strip()
    if scope:
        found["customer_impact_scope"] = scope
    return found


def _handles(metadata: Json) -> Json:
    handles = objects_of(metadata, "notification_handles", where=_WHERE)
    return {"notification_handles": handles} if handles else {}


def unapplied(sent: Json, attributes: Json, properties: Properties) -> list[str]:
    """Name what was sent and is not so afterwards: rules of an organisation drop what they refuse.

    Args:
        sent: The attributes that were sent.
        attributes: Those of the incident as it is now.
        properties: How the organisation names them.
    """
    names = properties.names
    now = {
        **values_of(attributes),
        names["status"]: state_name(attributes, names),
        names["severity"]: severity_name(attributes, names),
    }
    concept_of = {name: concept for concept, name in names.items()}
    missing = [
        concept_of.get(name, f"fields.{name}")
        for name, about in (sent.get("fields") or {}).items()
        if _folded(about["value"]) != _folded(now.get(name))
    ]
    if "title" in sent and sent["title"] != as_text(attributes.get("title")).strip():
        missing.insert(0, "title")
    return missing


def _folded(value: Any) -> list[str]:
    return sorted(text.strip().casefold() for text in texts_of(value) if text.strip())

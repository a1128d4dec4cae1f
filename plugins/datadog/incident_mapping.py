"""Datadog's incidents to ours.

Source: https://docs.datadoghq.com/api/latest/incidents/ (IncidentResponseAttributes; the values of
its properties stand under ``fields``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.times import vendor_time
from opsorch.plugin.vendor import as_object, as_text, object_in
from opsorch_plugins.datadog.incident_words import Severities, status_of
from opsorch_plugins.datadog.links import incident_link

_PASSED_ON: Final = (
    "public_id",
    "customer_impacted",
    "customer_impact_scope",
    "incident_type_uuid",
    "time_to_detect",
    "time_to_internal_response",
    "time_to_repair",
    "time_to_resolve",
)
_TIMES: Final = (
    "customer_impact_start",
    "customer_impact_end",
    "detected",
    "resolved",
    "declared",
)


@dataclass(frozen=True, slots=True)
class IncidentReading:
    """What every incident of an answer shares.

    Attributes:
        source: Value of metadata.source.
        app: Base URL of links.
        names: Datadog's names of the properties, by concept.
        severities: The organisation's severities.
    """

    source: str
    app: str
    names: Mapping[str, str]
    severities: Severities


def incident_of(raw: Json, reading: IncidentReading) -> Json:
    """Turn an incident, whatever it lacks, into ours."""
    attributes = object_in(raw, "attributes")
    values = values_of(attributes)
    severity = severity_name(attributes, reading.names)
    incident_id = as_text(raw.get("id"))
    optional = {
        "description": as_text(values.get(reading.names["description"])),
        "service": next(iter(texts_of(service_value(values, reading.names))), ""),
        "url": incident_link(reading.app, str(attributes.get("public_id") or incident_id)),
        "fields": values,
        "metadata": {"source": reading.source, **_metadata(attributes, severity)},
    }
    return {
        "id": incident_id,
        "title": as_text(attributes.get("title")),
        "status": status_of(state_name(attributes, reading.names)),
        "severity": reading.severities.read(severity),
        "createdAt": vendor_time(attributes.get("created")),
        "updatedAt": vendor_time(attributes.get("modified")),
        **without_empty(optional),
    }


def values_of(attributes: Json) -> Json:
    """Return the values of an incident's properties: one, or a list where there are more."""
    found: Json = {}
    for name, about in object_in(attributes, "fields").items():
        value = as_object(about).get("value")
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value not in (None, []):
            found[name] = value
    return found


def state_name(attributes: Json, names: Mapping[str, str]) -> str:
    """Return the state in Datadog's word, "" for none."""
    given = as_text(attributes.get("state"))
    return given or as_text(values_of(attributes).get(names["status"]))


def severity_name(attributes: Json, names: Mapping[str, str]) -> str:
    """Return the severity in Datadog's word, "" for none."""
    given = as_text(attributes.get("severity"))
    return given or as_text(values_of(attributes).get(names["severity"]))


def service_value(values: Json, names: Mapping[str, str]) -> Any:
    """Return the services; organisations without the usual property have one of its singular."""
    return values.get(names["service"]) or values.get("service")


def texts_of(value: Any) -> list[str]:
    """Return a property's value, single or list, as texts."""
    entries = value if isinstance(value, list) else [value]
    return [str(entry) for entry in entries if entry not in (None, "")]


def _metadata(attributes: Json, severity: str) -> Json:
    passed_on = {name: attributes.get(name) for name in _PASSED_ON}
    times = {name: vendor_time(attributes[name]) for name in _TIMES if attributes.get(name)}
    return without_empty({**passed_on, **times, "severity": severity})

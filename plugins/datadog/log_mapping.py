"""Datadog's log events to ours.

Source: https://docs.datadoghq.com/api/latest/logs/#search-logs-post (LogAttributes).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.times import vendor_time
from opsorch.plugin.vendor import as_text, as_texts, object_in, text_in
from opsorch_plugins.datadog.log_words import severity_of
from opsorch_plugins.datadog.tags import values_by_key


@dataclass(frozen=True, slots=True)
class LogReading:
    """What every entry of an answer shares.

    Attributes:
        source: Value of metadata.source.
        link: Makes the link to an event's id.
        shared: More metadata, the same for all entries.
    """

    source: str
    link: Callable[[str], str]
    shared: Json = field(default_factory=dict)


def entry_of(raw: Json, reading: LogReading) -> Json:
    """Turn an event, whatever it lacks, into a log entry."""
    attributes = object_in(raw, "attributes")
    custom = object_in(attributes, "attributes")
    tags = as_texts(attributes.get("tags"))
    event_id = as_text(raw.get("id"))
    metadata = {
        "source": reading.source,
        "log_id": event_id,
        "host": as_text(attributes.get("host")),
        "tags": tags,
        "url": reading.link(event_id) if event_id else "",
        **reading.shared,
    }
    optional = {
        "severity": severity_of(as_text(attributes.get("status"))),
        "service": as_text(attributes.get("service")),
        "labels": {key: ",".join(values) for key, values in values_by_key(tags).items()},
        "fields": custom,
        "metadata": without_empty(metadata),
    }
    return {
        "timestamp": vendor_time(attributes.get("timestamp")),
        "message": _message(attributes, custom),
        **without_empty(optional),
    }


def _message(attributes: Json, custom: Json) -> str:
    return text_in(attributes, "message") or text_in(custom, "message", "msg")

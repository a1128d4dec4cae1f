"""From the JSON of Alertmanager, and of Prometheus' rules, to alerts: pure and total.

Source: Alertmanager's OpenAPI description (gettableAlert, alertGroup, gettableSilence) and
prometheus.io, "HTTP API", rules.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.times import time_order, vendor_time
from opsorch.plugin.vendor import as_list, as_objects, known_time_in, object_in, objects_in
from opsorch_plugins.prometheus.filters import Severities
from opsorch_plugins.prometheus.mapping import SOURCE, texts_of

# States that are not named stay as they are.
STATUS_OF_STATE: Final[Mapping[str, str]] = {
    "active": "firing",
    "suppressed": "suppressed",
    "unprocessed": "pending",
}
_DESCRIPTIONS: Final = ("description", "message", "summary")
_ID_LISTS: Final = ("silencedBy", "inhibitedBy", "mutedBy")
# our field -> the annotations that hold it; the first that is a link counts
_LINKS: Final[Mapping[str, tuple[str, ...]]] = {
    "runbookUrl": ("runbook_url", "runbook"),
    "dashboardUrl": ("dashboard_url", "dashboard"),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How this configuration reads an alert.

    Attributes:
        service_label: Label that holds the service.
        severities: Where the severity is found.
        link: Makes the URL of an alert from its labels.
    """

    service_label: str
    severities: Severities
    link: Callable[[Mapping[str, str]], str]


def is_alert(entry: Any) -> bool:
    """Tell whether an element of Alertmanager's list can be an alert of ours."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("fingerprint"), str)
        and bool(entry["fingerprint"])
        and isinstance(entry.get("labels"), dict)
    )


def alert_of(entry: Json, reading: Reading) -> Json:
    """Turn one alert of Alertmanager into ours; ``is_alert`` has passed it."""
    status = object_in(entry, "status")
    state = str(status.get("state") or "")
    return {
        **_common(entry["fingerprint"], entry, reading),
        "status": STATUS_OF_STATE.get(state, state),
        "createdAt": vendor_time(entry.get("startsAt")),
        "updatedAt": vendor_time(entry.get("updatedAt")),
        **without_empty({"fields": _fields(entry, status)}),
        "metadata": without_empty(
            {
                "source": SOURCE,
                "fingerprint": entry["fingerprint"],
                "state": state,
                "endsAt": known_time_in(entry, "endsAt"),
                "generatorURL": entry.get("generatorURL"),
            }
        ),
    }


def _fields(entry: Json, status: Json) -> Json:
    return without_empty(
        {
            **_described(entry),
            "receivers": _receivers(entry.get("receivers")),
            **{name: _strings(status.get(name)) for name in _ID_LISTS},
            "groupLabels": texts_of(entry.get("groupLabels")),
        }
    )


def _common(fingerprint: str, entry: Json, reading: Reading) -> Json:
    """Make the parts that come of labels and annotations alone."""
    labels, annotations = texts_of(entry.get("labels")), texts_of(entry.get("annotations"))
    title = labels.get("alertname") or annotations.get("summary") or f"alert {fingerprint}"
    description = next((annotations[n] for n in _DESCRIPTIONS if annotations.get(n)), "")
    service = labels.get(reading.service_label)
    return {
        "id": fingerprint,
        "title": title,
        "severity": reading.severities.of_labels(labels),
        **without_empty({"description": description, "service": service}),
        "url": reading.link(labels),
    }


def _described(entry: Json) -> Json:
    annotations = texts_of(entry.get("annotations"))
    links = {
        name: next((annotations[k] for k in keys if _is_link(annotations.get(k))), "")
        for name, keys in _LINKS.items()
    }
    return {"labels": texts_of(entry.get("labels")), "annotations": annotations, **links}


def _is_link(text: str | None) -> bool:
    """Tell whether people may be sent there; a ``javascript:`` link must not reach a console."""
    return bool(text) and str(text).lower().startswith(("http://", "https://"))


def _strings(given: Any) -> list[str]:
    return [str(item) for item in as_list(given)]


def _receivers(given: Any) -> list[str]:
    return [str(entry["name"]) for entry in as_objects(given) if "name" in entry]


def ungrouped(groups: Iterable[Any]) -> list[Json]:
    """List the alerts of groups, each once, with the labels of its first group."""
    found: dict[str, Json] = {}
    for group in groups:
        for entry in objects_in(group, "alerts"):
            if is_alert(entry):
                with_group = {**entry, "groupLabels": group.get("labels")}
                found.setdefault(entry["fingerprint"], with_group)
    return list(found.values())


def silence_of(given: Any) -> Json | None:
    """Return what people want to know of a silence, or None where it is none."""
    if not isinstance(given, dict) or not given.get("id"):
        return None
    return without_empty(
        {
            "id": str(given["id"]),
            "comment": given.get("comment"),
            "createdBy": given.get("createdBy"),
            "endsAt": known_time_in(given, "endsAt"),
        }
    )


def pending_of(entry: Json, rule: Json, group: str, reading: Reading) -> Json:
    """Turn one pending alert of a rule in Prometheus into ours."""
    fingerprint = fingerprint_of(texts_of(entry.get("labels")))
    active_at = vendor_time(entry.get("activeAt"))
    about_rule = {
        "name": rule.get("name"),
        "group": group,
        "query": rule.get("query"),
        "durationSeconds": rule.get("duration"),
        "state": rule.get("state"),
        "health": rule.get("health"),
    }
    return {
        **_common(fingerprint, entry, reading),
        "status": "pending",
        "createdAt": active_at,
        "updatedAt": active_at,
        "fields": without_empty({**_described(entry), "rule": without_empty(about_rule)}),
        "metadata": without_empty(
            {
                "source": SOURCE,
                "fingerprint": fingerprint,
                "state": "pending",
                "value": entry.get("value"),
            }
        ),
    }


_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_MASK: Final = 0xFFFFFFFFFFFFFFFF


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Compute the fingerprint that Alertmanager gives to an alert with these labels.

    64-bit FNV-1a over names and values in the order of the names, each followed by a byte 0xff.
    """
    value = _FNV_OFFSET
    for name in sorted(labels):
        for byte in b"%b\xff%b\xff" % (name.encode(), labels[name].encode()):
            value = ((value ^ byte) * _FNV_PRIME) & _MASK
    return f"{value:016x}"


def newest_first(alerts: Sequence[Json]) -> list[Json]:
    """Sort by start, newest first, then by id."""
    by_id = sorted(alerts, key=lambda alert: str(alert["id"]))
    return sorted(by_id, key=lambda alert: time_order(alert["createdAt"]), reverse=True)

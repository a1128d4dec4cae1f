"""Log entries of an incident to timeline entries, and timeline input to the text of a note."""

import datetime
from collections.abc import Mapping
from typing import Any, Final

from opsorch.observability.redact import clean_text
from opsorch.plugin.payload import Json, body_and_author, text_of, without_empty
from opsorch.plugin.times import format_time, given_time, time_order
from opsorch.plugin.vendor import object_in, text_in, time_in

_SUFFIX: Final = "_log_entry"
# A note whose time is this near to now is a note of now.
BACKDATED_S: Final = 60

# Source: https://github.com/PagerDuty/api-schema reference/REST/openapiv3.json, the schemas of log
# entries; the types stand here without their common ending.
_KINDS: Final[Mapping[str, str]] = {
    "annotate": "note",
    "trigger": "incident_created",
    "resolve": "incident_resolved",
    "acknowledge": "status_change",
    "unacknowledge": "status_change",
    "snooze": "status_change",
    "assign": "assignment_change",
    "delegate": "assignment_change",
    "escalate": "escalation",
    "exhaust_escalation_path": "escalation",
    "repeat_escalation_path": "escalation",
    "notify": "notification",
    "urgency_change": "severity_change",
}


def timeline_of(entries: list[Json], incident_id: str) -> list[Json]:
    """Turn log entries, which come newest first, into a timeline, oldest first."""
    timeline = [entry_of(entry, incident_id) for entry in reversed(entries)]
    return sorted(timeline, key=lambda entry: time_order(entry["at"]))


def entry_of(raw: Json, incident_id: str) -> Json:
    """Turn a log entry, whatever it lacks, into a timeline entry."""
    raw_type = text_in(raw, "type")
    name = raw_type.removesuffix("_reference").removesuffix(_SUFFIX)
    channel = object_in(raw, "channel")
    metadata = {
        "type": raw_type,
        "channel": text_in(channel, "type"),
        "html_url": text_in(raw, "html_url"),
    }
    shape = {"actor": _actor_of(raw), "metadata": without_empty(metadata)}
    return {
        "id": text_in(raw, "id"),
        "incidentId": incident_id,
        "at": time_in(raw, "created_at"),
        "kind": _kind_of(name),
        "body": _body_of(name, raw, channel),
        **without_empty(shape),
    }


def _kind_of(name: str) -> str:
    return _KINDS.get(name) or ("field_change" if name.endswith("_value_change") else name)


def _body_of(name: str, raw: Json, channel: Json) -> str:
    summary = text_in(raw, "summary")
    if name == "annotate":
        said = text_in(channel, "content", "summary", "notes")
        return said or text_in(raw, "note") or summary
    if name == "resolve":
        return "\n".join(part for part in (summary, text_in(raw, "note")) if part)
    return summary


def _actor_of(raw: Json) -> Json:
    agent = object_in(raw, "agent")
    return without_empty(
        {
            "id": text_in(agent, "id"),
            "name": text_in(agent, "summary"),
            "type": text_in(agent, "type").removesuffix("_reference"),
            "url": text_in(agent, "html_url"),
        }
    )


def note_of(entry: Mapping[str, Any], now: datetime.datetime) -> str:
    """Write a timeline input as the text of a note, which has no time, kind or author of its own.

    Raises:
        BadRequest: The body is blank, or a field does not fit.
    """
    content, author = body_and_author(entry)
    kind = clean_text(text_of(entry, "kind"), 60)
    if kind and kind.casefold() != "note":
        content = f"[{kind}] {content}"
    moment = given_time(entry, "at")
    if moment is not None and abs((moment - now).total_seconds()) > BACKDATED_S:
        content = f"{format_time(moment)} {content}"
    return f"{content}\nby {author}" if author else content

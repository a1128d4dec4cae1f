"""What a create or an update sends to GitHub.

Source: https://docs.github.com/en/rest/issues/issues, "Create an issue" and "Update an issue"
"""

from collections.abc import Mapping
from typing import Any

from opsorch.errors import BadRequest
from opsorch.plugin.payload import Json, object_of, required_text, strings_of, text_of, word_of
from opsorch.plugin.vendor import text_in
from opsorch_plugins.github.words import (
    STATES,
    logins,
    milestone_number,
    reason_for,
    texts,
    united,
)


def body_of_create(payload: Json, settings: Mapping[str, Any]) -> Json:
    """Write a CreateTicketInput as the body of POST /repos/{owner}/{repo}/issues.

    Raises:
        BadRequest: A field does not fit; names it.
    """
    fields, metadata = object_of(payload, "fields"), object_of(payload, "metadata")
    body: Json = {"title": required_text(payload, "title")}
    given = [*strings_of(payload, "assignees"), *texts(fields, "assignees", "fields.")]
    optional: Json = {
        "body": text_of(payload, "description"),
        "assignees": logins(given, "assignees"),
        "labels": united(_labels(fields, metadata), settings["defaultLabels"]),
    }
    body |= {key: value for key, value in optional.items() if value}
    return body | {key: value for key, value in _extras(fields).items() if value is not None}


def body_of_update(changes: Json, issue: Json) -> Json:
    """Write an UpdateTicketInput as the body of PATCH; ``{}`` where nothing changes.

    Args:
        changes: The input. Absent and null mean unchanged; "" and [] are values.
        issue: The issue as it is.

    Raises:
        BadRequest: A field does not fit; names it.
    """
    fields, metadata = object_of(changes, "fields"), object_of(changes, "metadata")
    body: Json = {}
    if changes.get("title") is not None:
        body["title"] = required_text(changes, "title")
    if changes.get("description") is not None:
        body["body"] = text_of(changes, "description")
    if changes.get("status") is not None:
        body |= _state(text_of(changes, "status"), issue)
    if changes.get("assignees") is not None:
        body["assignees"] = logins(strings_of(changes, "assignees"), "assignees")
    if fields.get("labels") is not None or metadata.get("labels") is not None:
        body["labels"] = _labels(fields, metadata)
    return body | _extras(fields)


def _labels(fields: Json, metadata: Json) -> list[str]:
    return united(texts(fields, "labels", "fields."), texts(metadata, "labels", "metadata."))


def _state(word: str, issue: Json) -> Json:
    state = word_of(STATES, word, "status")
    reason = reason_for(word, was_closed=text_in(issue, "state") == "closed")
    return {"state": state, "state_reason": reason} if reason else {"state": state}


def _extras(fields: Json) -> Json:
    """Return milestone and type where they are given; null takes them away."""
    extras: Json = {}
    if "milestone" in fields:
        value = fields["milestone"]
        extras["milestone"] = None if value is None else milestone_number(value)
    if "type" in fields:
        value = fields["type"]
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise BadRequest("fields.type must be the name of an issue type")
        extras["type"] = None if value is None else value.strip()
    return extras

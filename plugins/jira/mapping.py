"""From a Jira issue to a Ticket: pure, and forgiving of whatever is null or absent.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-get
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.times import ZERO_TIME, vendor_time
from opsorch_plugins.jira.adf_read import to_markdown

FIELDS: Final = (
    "summary",
    "description",
    "status",
    "priority",
    "issuetype",
    "labels",
    "components",
    "assignee",
    "reporter",
    "created",
    "updated",
    "resolution",
    "resolutiondate",
    "duedate",
    "parent",
    "project",
    "fixVersions",
)

# Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-workflow-status-categories/
CATEGORY_OUT: Final[Mapping[str, str]] = {
    "new": "todo",
    "indeterminate": "in_progress",
    "done": "done",
}
_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$", re.ASCII)


def jira_time(value: Any) -> str:
    """Turn Jira's time, whose offset has no colon, into UTC; what is none becomes the zero time."""
    return vendor_time(_OFFSET.sub(r"\1:\2", value.strip()) if isinstance(value, str) else value)


def ticket_of(issue: Json, link: Callable[[str], str], source: str, extra: list[str]) -> Json:
    """Make the Ticket of an issue.

    Args:
        issue: With string ``id`` and ``key``.
        link: Makes the URL of an issue key; "" where there is none.
        source: Shown as ``metadata.source``.
        extra: Ids of fields that are shown as they are.
    """
    fields = issue.get("fields")
    fields = fields if isinstance(fields, dict) else {}
    assignee = _inner(fields, "assignee", "accountId")
    shown = {
        "description": _description(fields.get("description")),
        "assignees": [assignee] if assignee else [],
        "reporter": _inner(fields, "reporter", "accountId"),
        "url": link(issue["key"]),
        "fields": _fields_of(fields, extra),
        "metadata": _metadata_of(issue, fields, source),
    }
    return {
        "id": issue["id"],
        "key": issue["key"],
        "title": _text(fields.get("summary")),
        "status": _inner(fields, "status", "name"),
        "createdAt": jira_time(fields.get("created")),
        "updatedAt": jira_time(fields.get("updated")),
        **without_empty(shown),
    }


def _fields_of(fields: Json, extra: list[str]) -> Json:
    resolved = jira_time(fields.get("resolutiondate"))
    status = fields.get("status")
    category = _inner(status if isinstance(status, dict) else {}, "statusCategory", "key")
    raw = {name: fields[name] for name in extra if fields.get(name) is not None}
    return {
        **raw,
        **without_empty(
            {
                "statusCategory": CATEGORY_OUT.get(category, ""),
                "priority": _inner(fields, "priority", "name"),
                "issueType": _inner(fields, "issuetype", "name"),
                "resolution": _inner(fields, "resolution", "name"),
                "parent": _inner(fields, "parent", "key"),
                "project": _inner(fields, "project", "key"),
                "dueDate": _text(fields.get("duedate")),
                "resolvedAt": "" if resolved == ZERO_TIME else resolved,
                "labels": _labels(fields),
                "components": _names(fields, "components"),
                "fixVersions": _names(fields, "fixVersions"),
            }
        ),
    }


def _metadata_of(issue: Json, fields: Json, source: str) -> Json:
    details = [
        {"id": _text(entry.get("id")), "name": _text(entry.get("name"))}
        for entry in _objects(fields, "components")
    ]
    return without_empty(
        {
            "source": source,
            "self": _text(issue.get("self")),
            "assignee_name": _inner(fields, "assignee", "displayName"),
            "reporter_name": _inner(fields, "reporter", "displayName"),
            "priority": _inner(fields, "priority", "name"),
            "priority_id": _inner(fields, "priority", "id"),
            "issue_type": _inner(fields, "issuetype", "name"),
            "issue_type_id": _inner(fields, "issuetype", "id"),
            "issue_type_description": _inner(fields, "issuetype", "description"),
            "labels": _labels(fields),
            "components": _names(fields, "components"),
            "component_details": details,
        }
    )


def _description(value: Any) -> str:
    return value if isinstance(value, str) else to_markdown(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _inner(fields: Json, name: str, part: str) -> str:
    value = fields.get(name)
    return _text(value.get(part)) if isinstance(value, dict) else ""


def _objects(fields: Json, name: str) -> list[Json]:
    values = fields.get(name)
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []


def _names(fields: Json, name: str) -> list[str]:
    return [found for entry in _objects(fields, name) if (found := _text(entry.get("name")))]


def _labels(fields: Json) -> list[str]:
    labels = fields.get("labels")
    return [v for v in labels if isinstance(v, str)] if isinstance(labels, list) else []

"""From a Jira issue to a Ticket: pure, and forgiving of whatever is null or absent.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-get
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.times import vendor_time
from opsorch.plugin.vendor import as_texts, known_time_in, object_in, objects_in, text_at, text_in
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


def ticket_of(issue: Json, link: Callable[[str], str], source: str, extra: list[str]) -> Json:
    """Make the Ticket of an issue.

    Args:
        issue: With string ``id`` and ``key``.
        link: Makes the URL of an issue key; "" where there is none.
        source: Shown as ``metadata.source``.
        extra: Ids of fields that are shown as they are.
    """
    fields = object_in(issue, "fields")
    assignee = text_at(fields, "assignee", "accountId")
    shown = {
        "description": _description(fields.get("description")),
        "assignees": [assignee] if assignee else [],
        "reporter": text_at(fields, "reporter", "accountId"),
        "url": link(issue["key"]),
        "fields": _fields_of(fields, extra),
        "metadata": _metadata_of(issue, fields, source),
    }
    return {
        "id": issue["id"],
        "key": issue["key"],
        "title": text_in(fields, "summary"),
        "status": text_at(fields, "status", "name"),
        "createdAt": vendor_time(fields.get("created")),
        "updatedAt": vendor_time(fields.get("updated")),
        **without_empty(shown),
    }


def _fields_of(fields: Json, extra: list[str]) -> Json:
    category = text_at(fields, "status", "statusCategory", "key")
    raw = {name: fields[name] for name in extra if fields.get(name) is not None}
    return {
        **raw,
        **without_empty(
            {
                "statusCategory": CATEGORY_OUT.get(category, ""),
                "priority": text_at(fields, "priority", "name"),
                "issueType": text_at(fields, "issuetype", "name"),
                "resolution": text_at(fields, "resolution", "name"),
                "parent": text_at(fields, "parent", "key"),
                "project": text_at(fields, "project", "key"),
                "dueDate": text_in(fields, "duedate"),
                "resolvedAt": known_time_in(fields, "resolutiondate"),
                "labels": as_texts(fields.get("labels")),
                "components": _names(fields, "components"),
                "fixVersions": _names(fields, "fixVersions"),
            }
        ),
    }


def _metadata_of(issue: Json, fields: Json, source: str) -> Json:
    details = [
        {"id": text_in(entry, "id"), "name": text_in(entry, "name")}
        for entry in objects_in(fields, "components")
    ]
    return without_empty(
        {
            "source": source,
            "self": text_in(issue, "self"),
            "assignee_name": text_at(fields, "assignee", "displayName"),
            "reporter_name": text_at(fields, "reporter", "displayName"),
            "priority": text_at(fields, "priority", "name"),
            "priority_id": text_at(fields, "priority", "id"),
            "issue_type": text_at(fields, "issuetype", "name"),
            "issue_type_id": text_at(fields, "issuetype", "id"),
            "issue_type_description": text_at(fields, "issuetype", "description"),
            "labels": as_texts(fields.get("labels")),
            "components": _names(fields, "components"),
            "component_details": details,
        }
    )


def _description(value: Any) -> str:
    return value if isinstance(value, str) else to_markdown(value)


def _names(fields: Json, name: str) -> list[str]:
    return [found for entry in objects_in(fields, name) if (found := text_in(entry, "name"))]

"""An issue becomes a ticket."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch.capabilities import operations
from opsorch.plugin.times import ZERO_TIME, vendor_time
from opsorch_plugins.jira.mapping import FIELDS, ticket_of

Json = dict[str, Any]


def ticket(issue: Json, *extra: str) -> Json:
    return ticket_of(issue, lambda key: f"https://site.test/browse/{key}", "jira", list(extra))


FULL: Json = {
    "id": "10001",
    "key": "OPS-1",
    "self": "https://site.test/rest/api/3/issue/10001",
    "fields": {
        "summary": "Disk full",
        "description": "plain text",
        "status": {"name": "In Review", "statusCategory": {"key": "indeterminate"}},
        "priority": {"id": "2", "name": "High"},
        "issuetype": {"id": "4", "name": "Bug", "description": "A fault."},
        "labels": ["db", "prod"],
        "components": [{"id": "7", "name": "Web"}, {"id": "8", "name": "API"}],
        "assignee": {"accountId": "acc-1", "displayName": "Ann"},
        "reporter": {"accountId": "acc-2", "displayName": "Bob"},
        "created": "2025-11-21T10:00:00.000+0000",
        "updated": "2025-11-21T10:00:00.120+0530",
        "resolution": {"name": "Fixed"},
        "resolutiondate": "2025-11-22T10:00:00.000+0000",
        "duedate": "2026-01-01",
        "parent": {"key": "OPS-9"},
        "project": {"key": "OPS"},
        "fixVersions": [{"name": "1.0"}],
        "customfield_1": {"value": "x"},
        "customfield_2": None,
    },
}


def test_every_row_of_the_table() -> None:
    """Fields and metadata as documented."""
    assert ticket(FULL, "customfield_1", "customfield_2", "customfield_3", "priority") == {
        "id": "10001",
        "key": "OPS-1",
        "title": "Disk full",
        "description": "plain text",
        "status": "In Review",
        "assignees": ["acc-1"],
        "reporter": "acc-2",
        "url": "https://site.test/browse/OPS-1",
        "createdAt": "2025-11-21T10:00:00Z",
        "updatedAt": "2025-11-21T04:30:00.12Z",
        "fields": {
            "statusCategory": "in_progress",
            "priority": "High",
            "issueType": "Bug",
            "resolution": "Fixed",
            "parent": "OPS-9",
            "project": "OPS",
            "dueDate": "2026-01-01",
            "resolvedAt": "2025-11-22T10:00:00Z",
            "labels": ["db", "prod"],
            "components": ["Web", "API"],
            "fixVersions": ["1.0"],
            "customfield_1": {"value": "x"},
        },
        "metadata": {
            "source": "jira",
            "self": "https://site.test/rest/api/3/issue/10001",
            "assignee_name": "Ann",
            "reporter_name": "Bob",
            "priority": "High",
            "priority_id": "2",
            "issue_type": "Bug",
            "issue_type_id": "4",
            "issue_type_description": "A fault.",
            "labels": ["db", "prod"],
            "components": ["Web", "API"],
            "component_details": [{"id": "7", "name": "Web"}, {"id": "8", "name": "API"}],
        },
    }


@pytest.mark.parametrize("fields", [None, {}, [], dict.fromkeys(FIELDS)])
def test_whatever_is_absent_or_null_is_left_out(fields: Any) -> None:
    """What a ticket always has is empty, or the zero time, never now."""
    assert ticket({"id": "1", "key": "OPS-1", "fields": fields}) == {
        "id": "1",
        "key": "OPS-1",
        "title": "",
        "status": "",
        "url": "https://site.test/browse/OPS-1",
        "createdAt": ZERO_TIME,
        "updatedAt": ZERO_TIME,
        "metadata": {"source": "jira"},
    }


TICKET = next(known.result for _, known in operations() if known.method == "ticket.get")
ODD = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "key", "id", "accountId", "statusCategory", "content"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), ODD))
def test_no_field_of_another_type_costs_the_ticket(fields: Json) -> None:
    """It has the shape of the contract, and no null gets out."""
    made = ticket({"id": "1", "key": "OPS-1", "fields": fields})
    assert json.loads(TICKET.convert(json.dumps(made).encode())) == made
    assert None not in made.values()
    assert None not in made.get("fields", {}).values()


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        ("2025-11-21T10:00:00.000+0000", "2025-11-21T10:00:00Z"),
        ("2025-11-21T10:00:00.123-0800", "2025-11-21T18:00:00.123Z"),
        ("2025-11-21T10:00:00+01:00", "2025-11-21T09:00:00Z"),
        ("2025-11-21T10:00:00Z", "2025-11-21T10:00:00Z"),
        ("2025-11-21", ZERO_TIME),
        ("", ZERO_TIME),
        (None, ZERO_TIME),
        (5, ZERO_TIME),
    ],
)
def test_times(given_time: Any, expected: str) -> None:
    """Jira's offset has no colon."""
    assert vendor_time(given_time) == expected

"""Tickets: defaults, edits that stay, merging, order."""

import pytest

from opsorch.errors import BadRequest, NotFound
from tests.plugins.demo.support import ANCHOR, minutes, text


def test_query_lists_the_last_changed_first(demo):
    found = demo.call("ticket.query")
    assert len(found) == 16
    times = [item["updatedAt"] for item in found]
    assert times == sorted(times, reverse=True)
    assert found[0]["id"] == "TCK-SCENARIO-006"
    demo.now = ANCHOR + minutes(1)
    demo.call("ticket.update", {"id": "TCK-007", "input": {"title": "again"}})
    assert demo.ids("ticket.query", {"limit": 1}) == ["TCK-007"]


def test_create_is_todo_and_keeps_what_is_given(demo):
    given = {
        "title": "t",
        "description": "d",
        "assignees": ["kim", "alex", "kim"],
        "reporter": "fern",
        "fields": {"service": "svc-web", "x": None},
        "metadata": {"y": 1.5},
    }
    created = demo.call("ticket.create", given)
    assert created == {
        "id": "TCK-101",
        "key": "TCK-101",
        "title": "t",
        "description": "d",
        "status": "todo",
        "assignees": ["kim", "alex"],
        "reporter": "fern",
        "url": "https://demo.opsorch.example/ticket/TCK-101",
        "createdAt": text(ANCHOR),
        "updatedAt": text(ANCHOR),
        "fields": {"service": "svc-web", "x": None},
        "metadata": {"y": 1.5, "source": "demo"},
    }
    assert demo.call("ticket.get", {"id": "TCK-101"}) == created
    assert demo.call("ticket.create", {"title": "next"})["id"] == "TCK-102"


def test_an_edit_of_a_seeded_ticket_stays(demo):
    given = {"status": "Done", "title": "T", "description": "D"}
    after = demo.call("ticket.update", {"id": "TCK-001", "input": given})
    assert (after["status"], after["title"], after["description"]) == ("done", "T", "D")
    assert after["assignees"] == ["jordan"]
    assert after["reporter"] == "kim"
    demo.call("ticket.query")
    assert demo.call("ticket.get", {"id": "TCK-001"}) == after


def test_an_empty_list_clears_the_assignees_and_null_leaves_them(demo):
    same = demo.call("ticket.update", {"id": "TCK-002", "input": {"assignees": None}})
    assert same["assignees"] == ["lena", "jamie"]
    cleared = demo.call("ticket.update", {"id": "TCK-002", "input": {"assignees": []}})
    assert "assignees" not in cleared
    named = demo.call("ticket.update", {"id": "TCK-002", "input": {"assignees": ["kim"]}})
    assert named["assignees"] == ["kim"]


def test_bags_merge_and_null_removes_a_key(demo):
    before = demo.call("ticket.get", {"id": "TCK-SCENARIO-001"})
    given = {"fields": {"priority": None, "a": 1}, "metadata": {"b": 2}}
    after = demo.call("ticket.update", {"id": "TCK-SCENARIO-001", "input": given})
    expected = {**before["fields"], "a": 1}
    del expected["priority"]
    assert after["fields"] == expected
    assert after["metadata"] == {**before["metadata"], "b": 2}


def test_updated_at_strictly_increases(demo):
    times = []
    for step in (0, 0, -5):
        demo.now = ANCHOR + minutes(step)
        times.append(demo.call("ticket.update", {"id": "TCK-003", "input": {}})["updatedAt"])
    assert len(set(times)) == 3
    assert [t.replace("Z", "") for t in times] == sorted(t.replace("Z", "") for t in times)


@pytest.mark.parametrize("method", ["ticket.get", "ticket.update"])
def test_an_unknown_ticket_is_not_found_by_id(demo, method):
    with pytest.raises(NotFound, match="ticket TCK-999 not found"):
        demo.call(method, {"id": "TCK-999", "input": {"title": "x"}})


@pytest.mark.parametrize(
    ("method", "payload", "message"),
    [
        ("ticket.create", {}, "title is required"),
        ("ticket.create", {"title": "t", "assignees": "kim"}, "assignees must be a list"),
        ("ticket.update", {"id": "TCK-001", "input": {"status": "closed"}}, "status: 'closed'"),
        ("ticket.update", {"id": "TCK-001", "input": {"assignees": [1]}}, "assignees must be"),
        ("ticket.update", {"input": {"title": "x"}}, "id is required"),
        ("ticket.query", {"reporter": 1}, "reporter must be a string"),
        ("ticket.query", {"limit": -1}, "limit"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(demo, method, payload, message):
    with pytest.raises(BadRequest, match=message):
        demo.call(method, payload)

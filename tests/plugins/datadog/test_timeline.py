"""Timelines: cells where there are some, else follow-ups."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
import requests_mock

from opsorch.errors import BadRequest, NotFound, ProviderError
from opsorch.plugin import Call
from opsorch_plugins.datadog import incidents as incidents_module
from opsorch_plugins.datadog.incidents import DatadogIncidents
from tests.plugins.datadog.support import INCIDENTS, SEARCH, UUID, Json, hits, incident

CELLS = f"{INCIDENTS}/{UUID}/timeline"
TODOS = f"{INCIDENTS}/{UUID}/relationships/todos"
ENTRY: Json = {"body": "We look", "at": "2024-05-06T09:08:09+02:00"}


@pytest.mark.case("datadog", 15)
@pytest.mark.parametrize(
    "payload", [{"entry": ENTRY}, {"input": ENTRY}, {"entry": ENTRY, "input": {"body": "not me"}}]
)
def test_a_note_is_added_under_either_key_in_utc(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call, payload: Json
) -> None:
    http.post(CELLS, status_code=201, json={"data": {"id": "1"}})
    assert incidents.append({"id": UUID, **payload}, call) == {"status": "ok"}
    assert http.last_request.json() == {
        "data": {
            "type": "incident_timeline_cells",
            "attributes": {
                "cell_type": "markdown",
                "content": {"content": "We look"},
                "display_time": "2024-05-06T07:08:09Z",
                "important": False,
            },
        }
    }


@pytest.mark.case("datadog", 15)
@pytest.mark.parametrize("status", [404, 405])
def test_without_cells_it_is_a_follow_up(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call, status: int
) -> None:
    """Nothing was written by the first try; the second is sent once."""
    cells = http.post(CELLS, status_code=status)
    todos = http.post(TODOS, status_code=201, json={"data": {"id": "1"}})
    entry = {**ENTRY, "actor": {"name": "Ann"}, "metadata": {"important": True}}
    incidents.append({"id": UUID, "entry": entry}, call)
    assert (cells.call_count, todos.call_count) == (1, 1)
    assert cells.request_history[0].json()["data"]["attributes"]["important"] is True
    assert todos.request_history[0].json() == {
        "data": {
            "type": "incident_todos",
            "attributes": {
                "content": "We look\n- via OpsOrch: Ann",
                "assignees": [],
                "completed": "2024-05-06T07:08:09Z",
            },
        }
    }


@pytest.mark.case("datadog", 15)
def test_the_follow_ups_404_is_the_real_one(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    http.post(CELLS, status_code=404)
    http.post(TODOS, status_code=404)
    with pytest.raises(NotFound, match=UUID):
        incidents.append({"id": UUID, "entry": ENTRY}, call)
    assert http.call_count == 2


@pytest.mark.parametrize("status", [500, 503])
def test_other_failures_do_not_lead_to_a_second_note(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call, status: int
) -> None:
    http.post(CELLS, status_code=status)
    with pytest.raises(ProviderError) as told:
        incidents.append({"id": UUID, "entry": ENTRY}, call)
    assert told.value.outcome_unknown is (status == 503)
    assert http.call_count == 1


@pytest.mark.case("datadog", 15)
@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"body": "  "},
        {"body": 5},
        {"body": "x", "at": "now"},
        {"body": "x", "actor": "Ann"},
        {"body": "x", "metadata": {"important": "yes"}},
    ],
)
def test_an_entry_that_does_not_fit_is_refused_without_a_call(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call, entry: Json
) -> None:
    with pytest.raises(BadRequest):
        incidents.append({"id": UUID, "entry": entry}, call)
    assert http.call_count == 0


def test_without_a_time_it_is_now(
    http: requests_mock.Mocker,
    build: Callable[..., Any],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By public id, in a place that is chosen."""
    moment = datetime.datetime(2024, 5, 6, 8, tzinfo=datetime.UTC)
    monkeypatch.setattr(incidents_module, "now", lambda: moment)
    http.get(f"{INCIDENTS}/1234", status_code=400, json={"errors": ["no uuid"]})
    http.get(SEARCH, json=hits(incident()))
    cells = http.post(CELLS, status_code=201, json={"data": {"id": "1"}})
    todos = http.post(TODOS, status_code=201, json={"data": {"id": "1"}})
    payload = {"id": "1234", "entry": {"body": "x", "at": "0001-01-01T00:00:00Z"}}
    for mode in ("timeline", "todos"):
        build(DatadogIncidents, timelineMode=mode).append(payload, call)
    for sent, name in ((cells, "display_time"), (todos, "completed")):
        attributes = sent.request_history[0].json()["data"]["attributes"]
        assert attributes[name] == "2024-05-06T08:00:00Z"


def test_a_chosen_timeline_is_not_replaced(
    http: requests_mock.Mocker, build: Callable[..., Any], call: Call
) -> None:
    provider = build(DatadogIncidents, timelineMode="timeline")
    http.post(CELLS, status_code=404)
    http.get(CELLS, status_code=404)
    with pytest.raises(NotFound):
        provider.append({"id": UUID, "entry": ENTRY}, call)
    with pytest.raises(NotFound):
        provider.timeline({"id": UUID}, call)
    assert http.call_count == 2


def cell(item: str, kind: str, content: Any, **more: Any) -> Json:
    attributes = {"cell_type": kind, "content": content, **more}
    return {"id": item, "type": "incident_timeline_cells", "attributes": attributes}


@pytest.mark.case("datadog", 16)
def test_cells_are_read_oldest_first(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    cells = [
        cell("3", "markdown", {"content": "A note"}, display_time="2024-05-06T07:08:09.5Z"),
        cell("1", "incident_status_change", {"action": "x"}, created="2024-05-06T09:08:09+02:00"),
        cell(
            "2",
            "slack",
            {"message": "Hi"},
            display_time="2024-05-06T07:08:09.1Z",
            created="2024-05-06T00:00:00Z",
            important=True,
            source="slack",
        ),
        {"id": "0"},
    ]
    http.get(CELLS, json={"data": cells})
    found = incidents.timeline({"id": UUID}, call)
    assert found == [
        {
            "id": "0",
            "incidentId": UUID,
            "at": "0001-01-01T00:00:00Z",
            "kind": "",
            "body": "",
        },
        {
            "id": "1",
            "incidentId": UUID,
            "at": "2024-05-06T07:08:09Z",
            "kind": "incident_status_change",
            "body": '{"action":"x"}',
            "metadata": {"cell_type": "incident_status_change"},
        },
        {
            "id": "2",
            "incidentId": UUID,
            "at": "2024-05-06T07:08:09.1Z",
            "kind": "slack",
            "body": "Hi",
            "metadata": {"cell_type": "slack", "important": True, "source": "slack"},
        },
        {
            "id": "3",
            "incidentId": UUID,
            "at": "2024-05-06T07:08:09.5Z",
            "kind": "note",
            "body": "A note",
            "metadata": {"cell_type": "markdown"},
        },
    ]


@pytest.mark.case("datadog", 16)
def test_follow_ups_stand_among_what_the_incident_tells(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    """When they are due is not when they happened."""
    todos = [
        {
            "id": "b",
            "attributes": {
                "content": "Restart",
                "created": "2024-05-06T08:00:00Z",
                "completed": "2024-05-06T10:00:00Z",
                "due_date": "2030-01-01T00:00:00Z",
                "assignees": ["@ann"],
            },
        },
        {"id": "a", "attributes": {"content": "x", "completed": None, "due_date": "2030-01-01"}},
        {"id": "c", "attributes": {"content": "y", "completed": "2024-05-06T09:30:00Z"}},
    ]
    raw = incident(
        detected="2024-05-06T07:00:00Z",
        customer_impact_start="2024-05-06T06:00:00Z",
        customer_impact_end="2024-05-06T11:00:00Z",
        resolved="2024-05-06T12:00:00Z",
    )
    http.get(CELLS, status_code=404)
    http.get(TODOS, json={"data": todos})
    http.get(f"{INCIDENTS}/{UUID}", json={"data": raw})
    found = incidents.timeline({"id": UUID}, call)
    assert [(entry["kind"], entry["at"]) for entry in found] == [
        ("todo", "0001-01-01T00:00:00Z"),
        ("customer_impact_started", "2024-05-06T06:00:00Z"),
        ("incident_detected", "2024-05-06T07:00:00Z"),
        ("incident_created", "2024-05-06T07:08:09.123456Z"),
        ("todo", "2024-05-06T08:00:00Z"),
        ("todo", "2024-05-06T09:30:00Z"),
        ("customer_impact_ended", "2024-05-06T11:00:00Z"),
        ("incident_resolved", "2024-05-06T12:00:00Z"),
    ]
    assert found[4] == {
        "id": "b",
        "incidentId": UUID,
        "at": "2024-05-06T08:00:00Z",
        "kind": "todo",
        "body": "Restart",
        "metadata": {
            "completed": True,
            "completed_at": "2024-05-06T10:00:00Z",
            "due_date": "2030-01-01T00:00:00Z",
            "assignees": ["@ann"],
        },
    }
    assert found[0]["metadata"] == {"completed": False, "due_date": "2030-01-01"}


@pytest.mark.case("datadog", 16)
def test_a_timeline_of_no_incident(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    http.get(CELLS, status_code=404)
    http.get(TODOS, status_code=404)
    with pytest.raises(NotFound, match=UUID):
        incidents.timeline({"id": UUID}, call)


def test_chosen_follow_ups_are_read_alone(
    http: requests_mock.Mocker, build: Callable[..., Any], call: Call
) -> None:
    """Cells are not asked for; what the incident tells comes along."""
    http.get(TODOS, json={"data": [{"id": "a", "attributes": {"content": "x"}}]})
    http.get(f"{INCIDENTS}/{UUID}", json={"data": incident()})
    found = build(DatadogIncidents, timelineMode="todos").timeline({"id": UUID}, call)
    assert [entry["kind"] for entry in found] == ["todo", "incident_created"]
    assert http.call_count == 2

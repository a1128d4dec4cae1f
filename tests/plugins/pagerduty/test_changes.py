"""Creating, updating, and adding to a timeline."""

import datetime
from typing import Any

import pytest
import requests_mock

from opsorch.errors import BadRequest, NotFound
from opsorch.plugin import Call
from opsorch.plugin.times import format_time, now
from opsorch_plugins.pagerduty.provider import PagerDutyIncidents
from tests.plugins.pagerduty.support import API, FULL, INCIDENTS, SERVICE, Json, page, path_of

ONE = f"{INCIDENTS}/PT4KHLK"
NOTES = f"{ONE}/notes"
SERVICES = f"{API}/services"
PRIORITIES = [{"id": "PP1", "name": "P1"}, {"id": "PP2", "summary": "Sev-2"}]


def created(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, given: Json
) -> Json:
    """Create, and return what was sent."""
    http.post(INCIDENTS, status_code=201, json={"incident": FULL})
    provider.create({"title": "Disk full", **given}, call)
    incident: Json = http.last_request.json()["incident"]
    return incident


def updated(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, given: Json
) -> Json:
    """Update, and return what was sent."""
    http.put(ONE, json={"incident": FULL})
    provider.update({"id": "PT4KHLK", "input": given}, call)
    incident: Json = http.last_request.json()["incident"]
    return incident


@pytest.mark.case("pagerduty", 8)
def test_an_incident_is_created(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Severity becomes urgency; status is PagerDuty's; the sender is the configured user."""
    given = {"severity": "sev3", "description": "No space left", "status": "resolved"}
    assert created(http, provider, call, given) == {
        "type": "incident",
        "title": "Disk full",
        "urgency": "low",
        "body": {"type": "incident_body", "details": "No space left"},
        "service": {"id": SERVICE, "type": "service_reference"},
    }
    headers = http.last_request.headers
    assert headers["From"] == "ops@example.com"
    assert headers["Content-Type"] == "application/json"
    assert headers["Accept"] == "application/vnd.pagerduty+json;version=2"
    assert http.call_count == 1


@pytest.mark.case("pagerduty", 8)
def test_the_result_of_creating_is_what_pagerduty_has(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Any 2xx will do."""
    http.post(INCIDENTS, status_code=200, json={"incident": FULL})
    found = provider.create({"title": "x", "status": "open"}, call)
    assert (found["id"], found["status"]) == ("PT4KHLK", "resolved")
    assert "requested_service" not in found["metadata"]


def test_severity_defaults_to_the_configured_one(
    http: requests_mock.Mocker, build: Any, call: Call
) -> None:
    """Critical unless configured."""
    assert created(http, build(), call, {})["urgency"] == "high"
    assert created(http, build(defaultSeverity="SEV4"), call, {})["urgency"] == "low"


def test_all_that_an_incident_may_be_created_with(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Priority by name, key, assignees, and the service by id."""
    http.get(f"{API}/priorities", json=page("priorities", PRIORITIES))
    fields = {"priority": "SEV-2", "incident_key": "k1", "assignees": ["PU1", "PU2", "PU1"]}
    given = {"fields": fields, "metadata": {"service_id": "PS9"}, "service": "ignored"}
    sent = created(http, provider, call, given)
    assert sent["priority"] == {"id": "PP2", "type": "priority_reference"}
    assert sent["incident_key"] == "k1"
    users = [a["assignee"] for a in sent["assignments"]]
    assert users == [{"id": u, "type": "user_reference"} for u in ("PU1", "PU2")]
    assert sent["service"]["id"] == "PS9"
    assert [path_of(r) for r in http.request_history] == ["/priorities", "/incidents"]


def test_policy_key_in_the_metadata_and_priority_by_id(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """The other ways to say it."""
    http.get(f"{API}/priorities", json=page("priorities", PRIORITIES))
    fields = {"escalation_policy": "PE1", "priority": "PP1", "assignees": []}
    sent = created(http, provider, call, {"fields": fields, "metadata": {"incident_key": "k2"}})
    assert sent["escalation_policy"] == {"id": "PE1", "type": "escalation_policy_reference"}
    assert sent["priority"]["id"] == "PP1"
    assert sent["incident_key"] == "k2"
    assert "assignments" not in sent


@pytest.mark.parametrize(
    ("asked", "found", "service", "kept"),
    [
        ("api", [{"id": "PA1", "name": "API"}, {"id": "PA2", "name": "api-gateway"}], "PA1", None),
        ("PABCDE1", [], "PABCDE1", None),
        ("nope", [{"id": "PA2", "name": "nope-too"}], SERVICE, "nope"),
        ("two", [{"id": "PA1", "name": "two"}, {"id": "PA2", "name": "Two"}], SERVICE, "two"),
    ],
)
def test_the_service_is_the_one_of_the_name_or_the_configured_one(
    http: requests_mock.Mocker,
    provider: PagerDutyIncidents,
    call: Call,
    asked: str,
    found: list[Json],
    service: str,
    kept: str | None,
) -> None:
    """A name that is not found is told in the result."""
    http.get(SERVICES, json=page("services", found))
    http.post(INCIDENTS, status_code=201, json={"incident": FULL})
    result = provider.create({"title": "x", "service": asked}, call)
    assert http.last_request.json()["incident"]["service"]["id"] == service
    assert result["metadata"].get("requested_service") == kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"title": " "}, "title is required"),
        ({"title": 5}, "title must be a string"),
        ({"severity": "bad"}, "severity: 'bad' is unknown"),
        ({"description": {}}, "description must be a string"),
        ({"fields": {"assignees": "Bob Smith"}}, "fields.assignees must be a PagerDuty id"),
        ({"fields": {"assignees": [5]}}, "fields.assignees must be an id or a list"),
        ({"fields": {"escalation_policy": "../x"}}, "fields.escalation_policy must be"),
        ({"fields": {"assignees": ["P1"], "escalation_policy": "P2"}}, "exclude each other"),
        ({"fields": {"priority": 1}}, "fields.priority must be a string"),
        ({"fields": {"incident_key": 1}}, "fields.incident_key must be a string"),
        ({"metadata": {"service_id": "a/b"}}, "metadata.service_id must be a PagerDuty id"),
        ({"fields": []}, "fields must be an object"),
    ],
)
def test_an_unfit_incident_is_refused_without_a_call(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, given: Json, words: str
) -> None:
    """The message names the field."""
    with pytest.raises(BadRequest, match=words):
        provider.create({"title": "x", **given}, call)
    assert http.call_count == 0


def test_an_unknown_priority_is_refused_with_the_known_ones(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Part of a name is not a name; nothing is written."""
    http.get(f"{API}/priorities", json=page("priorities", PRIORITIES))
    with pytest.raises(BadRequest, match="does not know 'sev'; it has P1, Sev-2"):
        provider.create({"title": "x", "fields": {"priority": "sev"}}, call)
    assert {r.method for r in http.request_history} == {"GET"}


@pytest.mark.case("pagerduty", 10)
def test_an_update_sends_what_changes_and_no_more(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Closing is resolving."""
    sent = updated(http, provider, call, {"status": "closed"})
    assert sent == {"type": "incident_reference", "status": "resolved"}
    assert http.last_request.headers["From"] == "ops@example.com"
    assert http.call_count == 1


@pytest.mark.case("pagerduty", 10)
def test_a_description_cannot_be_changed(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """It is refused rather than dropped."""
    with pytest.raises(BadRequest, match="description cannot be changed"):
        provider.update({"id": "PT4KHLK", "input": {"description": "new", "title": "t"}}, call)
    assert http.call_count == 0


def test_all_that_may_change(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Names are looked up before the one PUT."""
    http.get(SERVICES, json=page("services", [{"id": "PA1", "name": "API"}]))
    http.get(f"{API}/priorities", json=page("priorities", PRIORITIES))
    fields = {
        "priority": "p1",
        "resolution": "more disk",
        "assignees": "PU1",
        "escalation_level": 2,
    }
    given = {
        "title": " New ",
        "status": "done",
        "severity": "low",
        "service": "api",
        "description": "",
        "fields": fields,
    }
    assert updated(http, provider, call, given) == {
        "type": "incident_reference",
        "title": "New",
        "status": "resolved",
        "urgency": "low",
        "resolution": "more disk",
        "assignments": [{"assignee": {"id": "PU1", "type": "user_reference"}}],
        "escalation_level": 2,
        "service": {"id": "PA1", "type": "service_reference"},
        "priority": {"id": "PP1", "type": "priority_reference"},
    }
    assert [r.method for r in http.request_history] == ["GET", "GET", "PUT"]


@pytest.mark.parametrize("given", [{}, {"description": ""}, {"fields": {}, "metadata": {"a": 1}}])
def test_an_update_of_nothing_writes_nothing(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, given: Json
) -> None:
    """The incident as it is comes back."""
    http.get(ONE, json={"incident": FULL})
    assert provider.update({"id": "PT4KHLK", "input": given}, call)["id"] == "PT4KHLK"
    assert {r.method for r in http.request_history} == {"GET"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"title": ""}, "title is required"),
        ({"status": "gone"}, "status: 'gone' is unknown"),
        ({"status": ""}, "status: '' is unknown"),
        ({"severity": "bad"}, "severity: 'bad' is unknown"),
        ({"service": ""}, "service is required"),
        ({"fields": {"resolution": "x"}}, "fields.resolution needs the status resolved"),
        ({"status": "open", "fields": {"resolution": "x"}}, "fields.resolution needs"),
        ({"fields": {"escalation_level": 0}}, "fields.escalation_level must be"),
        ({"fields": {"escalation_level": True}}, "fields.escalation_level must be"),
        ({"fields": {"assignees": []}}, "fields.assignees must name a user"),
        ({"metadata": {"service_id": "-"}}, "metadata.service_id must be a PagerDuty id"),
    ],
)
def test_an_unfit_update_is_refused_without_a_call(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, given: Json, words: str
) -> None:
    """Everything is checked before the PUT."""
    with pytest.raises(BadRequest, match=words):
        provider.update({"id": "PT4KHLK", "input": given}, call)
    assert http.call_count == 0


def test_an_incident_does_not_move_to_an_unknown_service(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Where creating falls back, updating refuses."""
    http.get(SERVICES, json=page("services", []))
    with pytest.raises(BadRequest, match="no one service of the name or id 'nope'"):
        provider.update({"id": "PT4KHLK", "input": {"service": "nope"}}, call)
    assert {r.method for r in http.request_history} == {"GET"}


@pytest.mark.parametrize("method", ["update", "append"])
def test_what_is_not_there_cannot_be_changed(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, method: str
) -> None:
    """The id is told."""
    gone = {"status_code": 404, "json": {"error": {"message": "Not Found", "code": 2100}}}
    http.put(ONE, **gone)
    http.post(NOTES, **gone)
    payload = {"id": "PT4KHLK", "input": {"title": "x", "body": "x"}}
    with pytest.raises(NotFound, match="no incident PT4KHLK"):
        getattr(provider, method)(payload, call)
    assert http.call_count == 1


@pytest.mark.case("pagerduty", 11)
@pytest.mark.parametrize("key", ["entry", "input"])
@pytest.mark.parametrize("answer", [{"status_code": 200, "json": {}}, {"status_code": 201}])
def test_a_note_is_the_body(
    http: requests_mock.Mocker,
    provider: PagerDutyIncidents,
    call: Call,
    key: str,
    answer: dict[str, Any],
) -> None:
    """Under either key, and whatever the 2xx says."""
    http.post(NOTES, **answer)
    entry = {"body": "We look into it.\n", "at": format_time(now())}
    assert provider.append({"id": "PT4KHLK", key: entry}, call) == {"status": "ok"}
    assert http.last_request.json() == {"note": {"content": "We look into it.\n"}}
    assert http.last_request.headers["From"] == "ops@example.com"


@pytest.mark.case("pagerduty", 11)
def test_entry_wins_over_input(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """The gateway sends both."""
    http.post(NOTES, json={})
    payload = {"id": "PT4KHLK", "entry": {"body": "a"}, "input": {"body": "b"}}
    provider.append(payload, call)
    assert http.last_request.json()["note"]["content"] == "a"


def test_what_a_note_cannot_hold_is_said_in_it(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Kind, time and author are part of the text."""
    http.post(NOTES, json={})
    entry = {
        "body": "Failed over",
        "kind": "mitigation",
        "at": "2024-01-02T03:04:05+02:00",
        "actor": {"name": "Ann", "id": "u1"},
    }
    provider.append({"id": "PT4KHLK", "entry": entry}, call)
    content = http.last_request.json()["note"]["content"]
    assert content == "2024-01-02T01:04:05Z [mitigation] Failed over\nby Ann"
    recent = format_time(now() - datetime.timedelta(seconds=50))
    plain = {"body": "x", "kind": "Note", "at": recent, "actor": {}}
    provider.append({"id": "PT4KHLK", "entry": plain}, call)
    assert http.last_request.json()["note"]["content"] == "x"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"body": " "}, "body is required"),
        ({}, "body is required"),
        ({"body": 5}, "body must be a string"),
        ({"body": "x", "at": "yesterday"}, "at must be"),
        ({"body": "x", "kind": 5}, "kind must be a string"),
        ({"body": "x", "actor": "Ann"}, "actor must be an object"),
        ({"body": "x", "actor": {"name": 5}}, "actor.name must be a string"),
    ],
)
def test_an_unfit_entry_is_refused_without_a_call(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, entry: Json, words: str
) -> None:
    """Nothing empty is appended."""
    with pytest.raises(BadRequest, match=words):
        provider.append({"id": "PT4KHLK", "entry": entry}, call)
    assert http.call_count == 0

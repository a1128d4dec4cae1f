"""Incidents: queries, one by one, created and changed."""

from collections.abc import Callable
from typing import Any

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, NotFound, ProviderError
from opsorch.plugin import Call
from opsorch_plugins.datadog.incident_words import Severities, status_of
from opsorch_plugins.datadog.incidents import DatadogIncidents
from tests.plugins.datadog.support import APP, INCIDENTS, SEARCH, UUID, Json, hits, incident, sent

OTHER = "11111111-2222-3333-4444-555555555555"
TYPE = "99999999-8888-7777-6666-555555555555"


def body(http: requests_mock.Mocker) -> Json:
    data: Json = http.last_request.json()["data"]
    return data


@pytest.mark.case("datadog", 12)
def test_severities_are_searched_for(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    """Critical is what is shown as critical."""
    http.get(SEARCH, json=hits(incident(fields={"severity": "SEV-0"})))
    payload = {"severities": ["critical"], "statuses": ["open", "closed"]}
    [found] = incidents.query(payload, call)
    assert found["severity"] == "critical"
    assert sent(http.last_request) == {
        "query": "state:(active OR resolved OR completed) AND severity:(SEV-0 OR SEV-1)",
        "sort": "-created",
        "page[size]": "100",
        "page[offset]": "0",
    }
    incidents.query({"severities": ["critical"]}, call)
    assert sent(http.last_request)["query"] == "severity:(SEV-0 OR SEV-1)"


@pytest.mark.case("datadog", 12)
def test_paging_stops_when_the_limit_is_filled(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    """Single values and lists match the scope."""
    raw = [incident(n) for n in range(1, 251)]
    raw[120]["attributes"]["fields"]["teams"] = {"type": "dropdown", "value": "Core"}
    raw[130]["attributes"]["fields"]["teams"] = {"type": "autocomplete", "value": ["x", "core"]}
    pages = [{"json": {"data": raw[at : at + 100]}} for at in (0, 100, 200)]
    http.get(INCIDENTS, pages)
    payload: Json = {"scope": {"team": "core"}, "limit": 1}
    assert [one["metadata"]["public_id"] for one in incidents.query(payload, call)] == [121]
    assert [sent(r)["page[offset]"] for r in http.request_history] == ["0", "100"]
    http.get(INCIDENTS, pages)
    found = incidents.query({**payload, "limit": 5}, call)
    assert [one["metadata"]["public_id"] for one in found] == [121, 131]
    assert [sent(r)["page[offset]"] for r in http.request_history[2:]] == ["0", "100", "200"]


@pytest.mark.parametrize(
    ("payload", "numbers"),
    [
        ({"query": "DISK db1"}, [1]),
        ({"query": "grows"}, [2]),
        ({"query": "3"}, [3]),
        ({"scope": {"service": "Web"}}, [1, 2]),
        ({"scope": {"environment": "prod"}}, [3]),
        ({"scope": {"service": "web", "environment": "prod"}}, []),
        ({}, [1, 2, 3]),
    ],
)
def test_text_and_scope_are_filtered_here(
    http: requests_mock.Mocker,
    incidents: DatadogIncidents,
    call: Call,
    payload: Json,
    numbers: list[int],
) -> None:
    raw = [
        incident(1, "Disk full on db1", fields={"services": ["web", "api"]}),
        incident(2, "Mail", fields={"summary": "The queue grows", "service": "web"}),
        incident(3, "Other", fields={"environment": ["prod"]}),
    ]
    http.get(INCIDENTS, json={"data": raw})
    found = incidents.query(payload, call)
    assert [one["metadata"]["public_id"] for one in found] == numbers


def test_pages_end_with_the_time_and_after_ten(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    http.get(INCIDENTS, json={"data": [incident(n) for n in range(1, 101)]})
    assert len(incidents.query({"limit": 1000}, Call(Deadline.after(0.9)))) == 100
    assert len(incidents.query({"limit": 5000}, call)) == 1000
    assert len(incidents.list_all({}, call)) == 100
    assert http.call_count == 1 + 10 + 1


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({"statuses": ["opne"]}, "statuses"),
        ({"severities": ["sev9"]}, "severities"),
        ({"limit": -1}, "limit"),
    ],
)
def test_words_that_do_not_fit(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call, payload: Json, word: str
) -> None:
    with pytest.raises(BadRequest, match=word):
        incidents.query(payload, call)
    assert http.call_count == 0


FULL = incident(
    fields={
        "severity": "SEV-2",
        "services": ["web", "api"],
        "teams": ["core"],
        "summary": "No space left",
        "root_cause": None,
        "empty": [],
    },
    state="stable",
    customer_impacted=True,
    customer_impact_scope="All of them",
    customer_impact_start="2024-05-06T07:00:00+00:00",
    detected="2024-05-06T07:01:00+00:00",
    time_to_detect=60,
)


def test_an_incident_is_mapped(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    http.get(f"{INCIDENTS}/{UUID}", json={"data": FULL})
    assert incidents.get({"id": UUID}, call) == {
        "id": UUID,
        "title": "Disk full",
        "description": "No space left",
        "status": "investigating",
        "severity": "high",
        "service": "web",
        "url": f"{APP}/incidents/1234",
        "createdAt": "2024-05-06T07:08:09.123456Z",
        "updatedAt": "2024-05-06T07:08:09Z",
        "fields": {
            "state": "active",
            "severity": "SEV-2",
            "services": ["web", "api"],
            "teams": "core",
            "summary": "No space left",
        },
        "metadata": {
            "source": "datadog",
            "public_id": 1234,
            "severity": "SEV-2",
            "customer_impacted": True,
            "customer_impact_scope": "All of them",
            "customer_impact_start": "2024-05-06T07:00:00Z",
            "detected": "2024-05-06T07:01:00Z",
            "time_to_detect": 60,
        },
    }


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("active", "open"),
        ("Stable", "investigating"),
        ("resolved", "resolved"),
        ("completed", "closed"),
        ("Odd", "odd"),
        ("", "open"),
    ],
)
def test_states(state: str, status: str) -> None:
    assert status_of(state) == status


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("SEV-0", "critical"),
        ("sev-1", "critical"),
        ("SEV-2", "high"),
        ("SEV-3", "medium"),
        ("SEV-4", "low"),
        ("SEV-5", "info"),
        ("UNKNOWN", "unknown"),
        ("", "unknown"),
        ("SEV-9", "sev-9"),
    ],
)
def test_severities(name: str, level: str) -> None:
    """What is shown as a severity is found by it."""
    severities = Severities({})
    assert severities.read(name) == level
    if name.startswith("SEV-") and name != "SEV-9":
        assert name in severities.to_find(level)


def test_severities_of_an_organisation() -> None:
    """Its own names are read, written and found; the others stay."""
    severities = Severities({"critical": "Blocker", "high": "SEV-1"})
    assert severities.to_write("p1") == "Blocker"
    assert severities.read("BLOCKER") == "critical"
    assert severities.read("SEV-1") == "high"
    assert severities.to_find("critical") == ["SEV-0", "Blocker"]
    assert severities.to_find("high") == ["SEV-1", "SEV-2"]
    assert severities.to_find("sev 0") == ["SEV-0"]
    assert severities.to_write("P-0") == "SEV-0"


def test_an_incident_may_lack_everything(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    http.get(INCIDENTS, json={"data": [{"id": UUID}, None]})
    [found] = incidents.query({}, call)
    assert (found["status"], found["severity"], found["title"]) == ("open", "unknown", "")
    assert found["url"] == f"{APP}/incidents/{UUID}"


@pytest.mark.parametrize("wanted", ["abc", "../users", "1-2", "٣", "{}"])
def test_what_is_no_id_is_not_found_without_a_call(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call, wanted: str
) -> None:
    for method in (incidents.get, incidents.update, incidents.timeline, incidents.append):
        with pytest.raises(NotFound):
            method({"id": wanted, "input": {"title": "x", "body": "x"}}, call)
    assert http.call_count == 0


@pytest.mark.parametrize("status", [400, 404])
def test_a_public_id_is_searched_for_where_the_path_takes_none(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call, status: int
) -> None:
    http.get(f"{INCIDENTS}/1234", status_code=status, json={"errors": ["no"]})
    http.get(SEARCH, json=hits(incident()))
    assert incidents.get({"id": "1234"}, call)["id"] == UUID
    assert sent(http.last_request)["query"] == "public_id:1234"


@pytest.mark.parametrize("found", [hits(), hits(incident(), incident()), {}])
def test_a_public_id_of_none_or_two_is_not_found(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call, found: Json
) -> None:
    http.get(f"{INCIDENTS}/1234", status_code=404)
    http.get(SEARCH, json=found)
    with pytest.raises(NotFound, match="Datadog has no incident 1234"):
        incidents.get({"id": "1234"}, call)


def test_a_uuid_of_none_is_not_found(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    http.get(f"{INCIDENTS}/{OTHER}", [{"status_code": 404}, {"json": {"data": None}}])
    for _ in range(2):
        with pytest.raises(NotFound, match=OTHER):
            incidents.get({"id": OTHER}, call)


EVERYTHING: Json = {
    "title": " Disk full ",
    "description": "No space",
    "status": "Investigating",
    "severity": "P2",
    "service": "web",
    "fields": {
        "root_cause": "logs",
        "tags": ["a", 5],
        "count": 3,
        "sure": True,
        "none": None,
        "team": "core",
        "environment": "prod",
        "detection": {"type": "dropdown", "value": "monitor"},
    },
    "metadata": {
        "customer_impacted": True,
        "customer_impact_scope": " Some ",
        "is_test": True,
        "incident_type_uuid": TYPE,
        "notification_handles": [{"handle": "@ops"}],
        "ignored": 1,
    },
}
EVERYTHING_SENT: Json = {
    "title": "Disk full",
    "customer_impacted": True,
    "customer_impact_scope": "Some",
    "incident_type_uuid": TYPE,
    "is_test": True,
    "notification_handles": [{"handle": "@ops"}],
    "fields": {
        "root_cause": {"type": "textbox", "value": "logs"},
        "tags": {"type": "multiselect", "value": ["a", "5"]},
        "count": {"type": "textbox", "value": "3"},
        "sure": {"type": "textbox", "value": "true"},
        "teams": {"type": "autocomplete", "value": ["core"]},
        "environment": {"type": "textbox", "value": "prod"},
        "detection": {"type": "dropdown", "value": "monitor"},
        "state": {"type": "dropdown", "value": "stable"},
        "severity": {"type": "dropdown", "value": "SEV-2"},
        "services": {"type": "autocomplete", "value": ["web"]},
        "summary": {"type": "textbox", "value": "No space"},
    },
}


@pytest.mark.case("datadog", 13)
def test_an_incident_is_created_with_everything(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    made = incident(fields={n: f["value"] for n, f in EVERYTHING_SENT["fields"].items()})
    http.post(INCIDENTS, status_code=201, json={"data": made})
    created = incidents.create(EVERYTHING, call)
    assert body(http) == {"type": "incidents", "attributes": EVERYTHING_SENT}
    assert (created["status"], created["severity"], created["service"]) == (
        "investigating",
        "high",
        "web",
    )
    assert "unapplied" not in created["metadata"]


@pytest.mark.case("datadog", 13)
@pytest.mark.parametrize(
    ("given", "attributes"),
    [
        ({}, {"customer_impacted": False}),
        ({"status": "", "severity": "", "service": "", "description": ""}, {}),
        (
            {"metadata": {"customerImpacted": True}},
            {"customer_impacted": True, "customer_impact_scope": "unknown"},
        ),
        ({"metadata": {"customer_impact_scope": "x"}}, {"customer_impact_scope": "x"}),
    ],
)
def test_what_is_not_given_is_not_sent(
    http: requests_mock.Mocker,
    incidents: DatadogIncidents,
    call: Call,
    given: Json,
    attributes: Json,
) -> None:
    http.post(INCIDENTS, status_code=201, json={"data": incident(title="x")})
    incidents.create({"title": "x", **given}, call)
    expected = {"title": "x", "customer_impacted": False, **attributes}
    assert body(http)["attributes"] == expected


def test_the_configured_type_and_names_are_used(
    http: requests_mock.Mocker, build: Callable[..., Any], call: Call
) -> None:
    names = {"service": "app", "team": "squad", "environment": "env", "description": "text"}
    made = incident(title="x", fields={"app": "web", "squad": ["core"], "text": "d"})
    http.post(INCIDENTS, status_code=201, json={"data": made})
    provider = build(
        DatadogIncidents,
        incidentTypeUUID=TYPE,
        incidentFields=names,
        incidentSeverityMap={"high": "Major"},
    )
    given = {"title": "x", "service": "web", "severity": "high", "description": "d"}
    created = provider.create({**given, "fields": {"team": ["core", "x"]}}, call)
    assert body(http)["attributes"]["incident_type_uuid"] == TYPE
    assert body(http)["attributes"]["fields"] == {
        "app": {"type": "autocomplete", "value": ["web"]},
        "severity": {"type": "dropdown", "value": "Major"},
        "squad": {"type": "autocomplete", "value": ["core", "x"]},
        "text": {"type": "textbox", "value": "d"},
    }
    assert (created["service"], created["description"]) == ("web", "d")
    assert created["metadata"]["unapplied"] == ["team", "severity"]


@pytest.mark.case("datadog", 13)
def test_closing_resolves(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    done = incident(title="x", fields={"state": "resolved"})
    http.patch(f"{INCIDENTS}/{UUID}", json={"data": done})
    updated = incidents.update({"id": UUID, "input": {"status": "closed"}}, call)
    assert body(http) == {
        "type": "incidents",
        "id": UUID,
        "attributes": {"fields": {"state": {"type": "dropdown", "value": "resolved"}}},
    }
    assert updated["status"] == "resolved"
    assert "unapplied" not in updated["metadata"]


@pytest.mark.case("datadog", 13)
@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "nothing"),
        ({"metadata": {"x": 1}}, "nothing"),
        ({"status": "opne"}, "status"),
        ({"status": ""}, "status"),
        ({"severity": "odd"}, "severity"),
        ({"title": "  "}, "title"),
        ({"title": ""}, "title"),
        ({"fields": {"x": {"type": "odd", "value": 1}}}, "fields.x"),
        ({"fields": {"x": {"type": ["textbox"], "value": 1}}}, "fields.x"),
        ({"fields": {"x": {"a": 1}}}, "fields.x"),
        ({"metadata": {"customer_impacted": "yes"}}, "metadata.customer_impacted"),
        ({"metadata": {"detected": "yesterday"}}, "metadata.detected"),
        ({"metadata": {"notification_handles": "x"}}, "metadata.notification_handles"),
    ],
)
def test_an_update_that_does_not_fit_is_refused_without_a_call(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call, given: Json, word: str
) -> None:
    with pytest.raises(BadRequest) as told:
        incidents.update({"id": UUID, "input": given}, call)
    assert word in told.value.message
    assert http.call_count == 0


@pytest.mark.parametrize(
    "given", [{}, {"title": " "}, {"title": "x", "status": "opne"}, {"title": "x", "severity": "9"}]
)
def test_a_create_that_does_not_fit_is_refused_without_a_call(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call, given: Json
) -> None:
    with pytest.raises(BadRequest):
        incidents.create(given, call)
    assert http.call_count == 0


def test_an_update_sends_what_it_holds_and_no_more(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    """By public id it looks up the UUID first; an empty text clears."""
    http.get(f"{INCIDENTS}/1234", json={"data": incident()})
    http.patch(f"{INCIDENTS}/{UUID}", json={"data": incident(title="New")})
    given = {
        "title": "New",
        "description": "",
        "service": "",
        "metadata": {
            "customer_impacted": True,
            "customer_impact_start": "2024-05-06T09:00:00+02:00",
            "customer_impact_end": "0001-01-01T00:00:00Z",
        },
    }
    updated = incidents.update({"id": "1234", "input": given}, call)
    assert body(http) == {
        "type": "incidents",
        "id": UUID,
        "attributes": {
            "title": "New",
            "customer_impacted": True,
            "customer_impact_start": "2024-05-06T07:00:00Z",
            "fields": {
                "services": {"type": "autocomplete", "value": []},
                "summary": {"type": "textbox", "value": ""},
            },
        },
    }
    assert "unapplied" not in updated["metadata"]


def test_an_update_of_none_is_not_found(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    http.patch(f"{INCIDENTS}/{OTHER}", status_code=404, json={"errors": ["not found"]})
    with pytest.raises(NotFound, match=f"Datadog has no incident {OTHER}"):
        incidents.update({"id": OTHER, "input": {"title": "x"}}, call)


@pytest.mark.case("datadog", 14)
def test_what_did_not_stick_is_told(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    made = incident(title="Disk full!", fields={"severity": "UNKNOWN", "tags": ["b", "A"]})
    http.post(INCIDENTS, status_code=201, json={"data": made})
    created = incidents.create({"title": "Disk full!", "severity": "high"}, call)
    assert created["metadata"]["unapplied"] == ["severity"]
    fields = {"tags": ["a", "B"], "root_cause": "x"}
    created = incidents.create({"title": "Other", "fields": fields, "service": "web"}, call)
    assert created["metadata"]["unapplied"] == ["title", "fields.root_cause", "service"]


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": {"id": 5}}, {"data": [1]}])
def test_a_written_answer_without_incident_is_of_unknown_outcome(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call, answer: Json
) -> None:
    http.post(INCIDENTS, status_code=201, json=answer)
    with pytest.raises(ProviderError, match="may have taken effect") as told:
        incidents.create({"title": "x"}, call)
    assert told.value.outcome_unknown
    assert http.call_count == 1


def test_the_check_reads_one(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    http.get("https://api.datadoghq.com/api/v1/validate", json={"valid": True})
    http.get(INCIDENTS, json={"data": []})
    assert all(check.ok for check in incidents.check(call))
    assert sent(http.last_request) == {"page[size]": "1"}

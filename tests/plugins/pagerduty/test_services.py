"""Service queries."""

from typing import Any

import pytest
import requests_mock

from opsorch.errors import BadRequest
from opsorch.plugin import Call
from opsorch_plugins.pagerduty.provider import PagerDutyServices
from tests.plugins.pagerduty.support import API, Json, page, path_of, sent

SERVICES = f"{API}/services"
CORE = {"id": "PT1", "type": "team_reference", "summary": "core"}
EDGE = {"id": "PT2", "type": "team_reference", "summary": "Edge"}


def a_service(item_id: str, name: str, *teams: Json, **more: Any) -> Json:
    return {"id": item_id, "name": name, "status": "active", "teams": list(teams), **more}


def ids_of(found: list[Json]) -> list[str]:
    return [service["id"] for service in found]


@pytest.mark.case("pagerduty", 17)
def test_services_by_id_and_tag(
    http: requests_mock.Mocker, services: PagerDutyServices, call: Call
) -> None:
    """One read an id; one that is missing is left out."""
    http.get(f"{SERVICES}/P1", json={"service": a_service("P1", "api", CORE)})
    http.get(f"{SERVICES}/P2", status_code=404, json={"error": {"message": "Not Found"}})
    [found] = services.query({"ids": ["P1", "P2"], "tags": {"team": "Core"}}, call)
    assert found["tags"] == {"team_0": "core", "team": "core", "status": "active"}
    assert http.call_count == 2


def test_a_service_is_mapped(
    http: requests_mock.Mocker, services: PagerDutyServices, call: Call
) -> None:
    """All that PagerDuty tells of it, times in UTC."""
    raw = a_service(
        "P1",
        "api",
        CORE,
        EDGE,
        summary="api",
        description="The API",
        html_url="https://acme.pagerduty.com/service-directory/P1",
        alert_creation="create_incidents",
        escalation_policy={"id": "PE1", "summary": "Default", "type": "x"},
        created_at="2015-11-06T11:12:51-05:00",
        last_incident_timestamp=None,
    )
    http.get(SERVICES, json=page("services", [raw]))
    assert services.query({}, call) == [
        {
            "id": "P1",
            "name": "api",
            "url": "https://acme.pagerduty.com/service-directory/P1",
            "tags": {"team_0": "core", "team_1": "Edge", "team": "core", "status": "active"},
            "metadata": {
                "source": "pagerduty",
                "summary": "api",
                "description": "The API",
                "status": "active",
                "html_url": "https://acme.pagerduty.com/service-directory/P1",
                "alert_creation": "create_incidents",
                "escalation_policy": {"id": "PE1", "summary": "Default"},
                "teams": [
                    {"id": "PT1", "summary": "core"},
                    {"id": "PT2", "summary": "Edge"},
                ],
                "created_at": "2015-11-06T16:12:51Z",
            },
        }
    ]
    assert sent(http.last_request) == {"sort_by": ["name:asc"], "limit": ["100"], "offset": ["0"]}


def test_a_name_is_asked_for_and_looked_at(
    http: requests_mock.Mocker, services: PagerDutyServices, call: Call
) -> None:
    """What PagerDuty finds by another field is left out."""
    found = [a_service("P1", "My API"), a_service("P2", "other"), {"id": "P3", "summary": "api"}]
    http.get(SERVICES, json=page("services", found))
    assert ids_of(services.query({"name": "api"}, call)) == ["P1", "P3"]
    assert sent(http.last_request)["query"] == ["api"]


def test_more_than_twenty_ids_are_looked_for_in_the_list(
    http: requests_mock.Mocker, services: PagerDutyServices, call: Call
) -> None:
    """Two pages instead of 21 reads."""
    pages = [
        {"json": page("services", [a_service(f"P{n}", f"s{n}") for n in range(100)], more=True)},
        {"json": page("services", [a_service(f"P{n}", f"s{n}") for n in range(100, 130)])},
    ]
    http.get(SERVICES, pages)
    wanted = [f"P{n}" for n in range(90, 111)]
    assert ids_of(services.query({"ids": wanted}, call)) == wanted
    assert http.call_count == 2


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ({"team": "EDGE"}, ["P1", "P2"]),
        ({"team_0": "edge"}, ["P2"]),
        ({"team": "core", "status": "Active"}, ["P1"]),
        ({"team": "core", "status": "disabled"}, []),
        ({"bogus": ""}, []),
    ],
)
def test_tags_must_all_fit(
    http: requests_mock.Mocker,
    services: PagerDutyServices,
    call: Call,
    tags: dict[str, str],
    found: list[str],
) -> None:
    """The tag team is any of the teams."""
    listed = [a_service("P1", "a", CORE, EDGE), a_service("P2", "b", EDGE), a_service("P3", "c")]
    http.get(SERVICES, json=page("services", listed))
    assert ids_of(services.query({"tags": tags}, call)) == found


def test_the_limit_counts_what_is_found(
    http: requests_mock.Mocker, services: PagerDutyServices, call: Call
) -> None:
    """Paging goes on until enough services fit."""
    pages = [
        {"json": page("services", [a_service(f"P{n}", f"s{n}") for n in range(100)], more=True)},
        {"json": page("services", [a_service(f"PX{n}", f"x{n}") for n in range(5)], more=True)},
    ]
    http.get(SERVICES, pages)
    found = services.query({"name": "x", "limit": 2}, call)
    assert ids_of(found) == ["PX0", "PX1"]
    http.get(SERVICES, pages)
    assert len(services.query({"limit": 102}, call)) == 102
    assert sent(http.last_request)["limit"] == ["2"]


def test_the_scope_names_team_and_service(
    http: requests_mock.Mocker, services: PagerDutyServices, call: Call
) -> None:
    """The team is PagerDuty's to filter by; the service is the exact name, or the id."""
    http.get(f"{API}/teams", json=page("teams", [{"id": "PT1", "name": "Core"}]))
    http.get(SERVICES, json=page("services", [a_service("P1", "API"), a_service("P2", "api-2")]))
    scope = {"team": "core", "service": "api", "environment": "prod"}
    metadata = {"team_id": "PT7", "team_ids": ["PT8"]}
    assert ids_of(services.query({"scope": scope, "metadata": metadata}, call)) == ["P1"]
    assert sent(http.last_request)["team_ids[]"] == ["PT7", "PT8", "PT1"]
    assert ids_of(services.query({"scope": {"service": "P2"}}, call)) == ["P2"]


def test_a_team_of_nobody_has_no_services(
    http: requests_mock.Mocker, services: PagerDutyServices, call: Call
) -> None:
    """It never means every team."""
    http.get(f"{API}/teams", json=page("teams", []))
    assert services.query({"scope": {"team": "nope"}}, call) == []
    assert [path_of(request) for request in http.request_history] == ["/teams"]


def test_ids_are_filtered_by_team_too(
    http: requests_mock.Mocker, services: PagerDutyServices, call: Call
) -> None:
    """One by one, PagerDuty does not filter."""
    http.get(f"{SERVICES}/P1", json={"service": a_service("P1", "a", CORE)})
    http.get(f"{SERVICES}/P2", json={"service": a_service("P2", "b", EDGE)})
    payload = {"ids": ["P1", "P2", "P1"], "metadata": {"team_id": "PT2"}}
    assert ids_of(services.query(payload, call)) == ["P2"]
    assert http.call_count == 2


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"ids": ["../users"]}, "ids must be a PagerDuty id"),
        ({"ids": [""]}, "ids must be a PagerDuty id"),
        ({"ids": "P1"}, "ids must be a list"),
        ({"tags": {"team": 5}}, "tags must be an object of strings"),
        ({"limit": -1}, "limit must be"),
        ({"name": 5}, "name must be a string"),
        ({"metadata": {"team_id": "a b"}}, "metadata.team_id must be"),
    ],
)
def test_an_unfit_query_is_refused_without_a_call(
    http: requests_mock.Mocker, services: PagerDutyServices, call: Call, payload: Json, words: str
) -> None:
    """The message names the field."""
    with pytest.raises(BadRequest, match=words):
        services.query(payload, call)
    assert http.call_count == 0

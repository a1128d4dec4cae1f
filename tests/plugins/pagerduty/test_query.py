"""Incident queries: what is asked of PagerDuty, and what is done here."""

from collections.abc import Callable
from typing import Any

import pytest
import requests_mock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsorch.errors import BadRequest, NotFound
from opsorch.plugin import Call
from opsorch_plugins.pagerduty.provider import PagerDutyIncidents
from tests.plugins.pagerduty.support import (
    API,
    FULL,
    INCIDENTS,
    Json,
    incidents,
    page,
    path_of,
    sent,
)

Build = Callable[..., PagerDutyIncidents]

SERVICES = f"{API}/services"
TEAMS = f"{API}/teams"
NONE = page("incidents", [])


@pytest.mark.case("pagerduty", 1)
def test_an_incident_is_asked_for_and_mapped(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Severity is that of the priority, times are in UTC, the configured service is no filter."""
    http.get(INCIDENTS, json=page("incidents", [FULL]))
    [found] = provider.query({}, call)
    asked = sent(http.last_request)
    assert asked == {"limit": ["100"], "offset": ["0"], "sort_by": ["created_at:desc"]}
    assert (found["status"], found["severity"]) == ("resolved", "high")
    assert found["url"] == FULL["html_url"]
    assert found["createdAt"] == "2015-10-06T21:30:42Z"
    assert found["updatedAt"] == "2015-10-06T21:40:23Z"


@pytest.mark.case("pagerduty", 1)
def test_list_asks_as_a_query_without_filters_does(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """incident.list is served, too."""
    http.get(INCIDENTS, json=page("incidents", [FULL]))
    assert provider.list_all({}, call) == provider.query({}, call)
    first, second = http.request_history
    assert first.url == second.url


@pytest.mark.case("pagerduty", 2)
def test_pages_are_read_until_the_limit(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """The second page asks only for what is still needed."""
    pages = [
        {"json": page("incidents", incidents(0, 100), more=True)},
        {"json": page("incidents", incidents(100, 50), more=True)},
    ]
    http.get(INCIDENTS, pages)
    assert len(provider.query({"limit": 150}, call)) == 150
    bounds = [(sent(r)["limit"], sent(r)["offset"]) for r in http.request_history]
    assert bounds == [(["100"], ["0"]), (["50"], ["100"])]


@pytest.mark.case("pagerduty", 2)
def test_a_last_page_ends_the_paging(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Fewer than the limit are all there are."""
    http.get(INCIDENTS, json=page("incidents", incidents(0, 3)))
    assert len(provider.query({"limit": 5}, call)) == 3
    assert http.call_count == 1
    assert sent(http.last_request)["limit"] == ["5"]


def test_paging_ends_at_an_empty_page_and_at_the_ceiling(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """A server that always says more is not asked for ever, and never beyond 10,000."""
    http.get(INCIDENTS, json=page("incidents", [], more=True))
    assert provider.query({}, call) == []
    assert http.call_count == 1
    same = incidents(0, 100)
    http.get(INCIDENTS, json=page("incidents", same, more=True))
    assert len(provider.query({"limit": 1000}, call)) == 100
    assert http.call_count == 1 + 100
    last = sent(http.last_request)
    assert int(last["limit"][0]) + int(last["offset"][0]) <= 10_000


def test_incidents_that_move_between_pages_come_once(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """A new incident shifts the pages: what is seen twice is one incident."""
    pages = [
        {"json": page("incidents", incidents(0, 100), more=True)},
        {"json": page("incidents", incidents(90, 60))},
    ]
    http.get(INCIDENTS, pages)
    found = [incident["id"] for incident in provider.query({"limit": 200}, call)]
    assert len(found) == len(set(found)) == 150


def test_a_limit_beyond_the_ceiling_is_the_ceiling(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """1,000 incidents at most, even where PagerDuty sends more than it was asked for."""

    def answer(request: Any, context: Any) -> Json:
        return page("incidents", incidents(int(sent(request)["offset"][0]), 130), more=True)

    http.get(INCIDENTS, json=answer)
    assert len(provider.query({"limit": 5000}, call)) == 1000


@pytest.mark.parametrize("limit", [-1, 1.5, "5", True])
def test_a_limit_that_is_none_is_refused(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, limit: Any
) -> None:
    """Nothing is asked."""
    with pytest.raises(BadRequest, match="limit must be"):
        provider.query({"limit": limit}, call)
    assert http.call_count == 0


@pytest.mark.case("pagerduty", 3)
def test_statuses_are_translated_once_each(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Open incidents are looked for over all time, since the vendor's window is one month."""
    http.get(INCIDENTS, json=NONE)
    statuses = ["open", "Triggered", "investigating"]
    assert provider.query({"statuses": statuses}, call) == []
    asked = sent(http.last_request)
    assert asked["statuses[]"] == ["triggered", "acknowledged"]
    assert asked["date_range"] == ["all"]


@pytest.mark.case("pagerduty", 3)
def test_an_unknown_status_is_refused_with_the_known_ones(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """A typo never means everything."""
    with pytest.raises(BadRequest, match=r"'bogus' is unknown; use one of ack, acknowledged"):
        provider.query({"statuses": ["bogus"]}, call)
    with pytest.raises(BadRequest, match="severities: 'hihg' is unknown"):
        provider.query({"severities": ["hihg"]}, call)
    assert http.call_count == 0


@pytest.mark.parametrize(
    ("payload", "window"),
    [
        ({"statuses": ["open", "closed"]}, {}),
        ({}, {}),
        ({"metadata": {"date_range": "all"}}, {"date_range": ["all"]}),
        (
            {"statuses": ["open"], "metadata": {"since": "2024-01-02T03:04:05+01:00"}},
            {"since": ["2024-01-02T03:04:05+01:00"]},
        ),
        (
            {"metadata": {"since": "2024-01-02T03:04:05Z", "until": "2024-02-02T03:04:05Z"}},
            {"since": ["2024-01-02T03:04:05Z"], "until": ["2024-02-02T03:04:05Z"]},
        ),
        (
            {"metadata": {"incident_key": "a&b=c", "since": "2024-01-02T03:04:05Z"}},
            {"incident_key": ["a&b=c"], "date_range": ["all"]},
        ),
    ],
)
def test_the_window_is_the_vendors_unless_that_loses_incidents(
    http: requests_mock.Mocker,
    provider: PagerDutyIncidents,
    call: Call,
    payload: Json,
    window: Json,
) -> None:
    """Resolved incidents keep the vendor's month; a given window or key rules."""
    http.get(INCIDENTS, json=NONE)
    provider.query(payload, call)
    asked = sent(http.last_request)
    names = ("since", "until", "date_range", "incident_key")
    assert {name: asked[name] for name in names if name in asked} == window


@pytest.mark.parametrize(
    "metadata",
    [
        {"since": "yesterday"},
        {"until": 5},
        {"date_range": "month"},
        {"incident_key": 5},
        {"service_ids": "P1/x"},
        {"service_ids": [1]},
        {"team_id": {"a": 1}},
        {"user_ids": ["PU 1"]},
    ],
)
def test_unfit_metadata_is_refused_by_name(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, metadata: Json
) -> None:
    """The message names the key; nothing is asked."""
    [name] = metadata
    with pytest.raises(BadRequest, match=f"metadata.{name}"):
        provider.query({"metadata": metadata}, call)
    assert http.call_count == 0


def test_ids_in_the_metadata_reach_pagerduty(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """One or several, of services, teams and users."""
    http.get(INCIDENTS, json=NONE)
    metadata = {
        "service_id": "PS1",
        "service_ids": ["PS2", "PS1"],
        "team_ids": "PT1",
        "user_id": "PU1",
        "user_ids": [],
        "team_id": "",
    }
    provider.query({"metadata": metadata}, call)
    asked = sent(http.last_request)
    assert asked["service_ids[]"] == ["PS1", "PS2"]
    assert asked["team_ids[]"] == ["PT1"]
    assert asked["user_ids[]"] == ["PU1"]


@pytest.mark.case("pagerduty", 4)
def test_an_exact_name_wins_over_part_of_one(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """The scope's service is looked up, letter case apart."""
    services = [{"id": "PGATEWAY1", "name": "api-gateway"}, {"id": "PAPI00001", "name": "API"}]
    http.get(SERVICES, json=page("services", services))
    http.get(INCIDENTS, json=NONE)
    provider.query({"scope": {"service": "api"}}, call)
    lookup, query = http.request_history
    assert sent(lookup)["query"] == ["api"]
    assert sent(query)["service_ids[]"] == ["PAPI00001"]


@pytest.mark.case("pagerduty", 4)
@pytest.mark.parametrize(("part", "key"), [("service", "services"), ("team", "teams")])
def test_a_name_of_nothing_finds_nothing(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, part: str, key: str
) -> None:
    """It never finds everything: incidents are not even asked for."""
    http.get(f"{API}/{key}", json=page(key, []))
    assert provider.query({"scope": {part: "nope"}}, call) == []
    assert [path_of(request) for request in http.request_history] == [f"/{key}"]


@pytest.mark.parametrize(
    ("name", "found", "ids"),
    [
        ("PABCDE1", [], ["PABCDE1"]),
        ("PABCDE1", [{"id": "PX", "name": "pabcde1"}], ["PX"]),
        ("web", [{"id": "P1", "name": "web-1"}, {"id": "P2", "summary": "Web-2"}], ["P1", "P2"]),
        ("web", [{"id": "P1", "name": "Web"}, {"id": "P2", "name": "WEB"}], ["P1", "P2"]),
        ("web", [{"id": "P1", "name": "other"}, {"id": "P2", "name": "a web"}], ["P2"]),
    ],
)
def test_what_a_name_means(
    http: requests_mock.Mocker,
    provider: PagerDutyIncidents,
    call: Call,
    name: str,
    found: list[Json],
    ids: list[str],
) -> None:
    """Exact names, else the id itself, else parts of names."""
    http.get(TEAMS, json=page("teams", found))
    http.get(INCIDENTS, json=NONE)
    provider.query({"scope": {"team": name}}, call)
    assert sent(http.last_request)["team_ids[]"] == ids


def test_a_name_is_looked_for_on_all_pages(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """The exact name may come last; metadata ids are added."""
    pages = [
        {"json": page("services", [{"id": "P1", "name": "api-1"}], more=True)},
        {"json": page("services", [{"id": "P2", "name": "api"}])},
    ]
    http.get(SERVICES, pages)
    http.get(INCIDENTS, json=NONE)
    scope = {"service": "api", "environment": "prod"}
    provider.query({"scope": scope, "metadata": {"service_id": "P9"}}, call)
    assert sent(http.last_request)["service_ids[]"] == ["P9", "P2"]


def test_ids_in_the_metadata_do_for_a_name_of_nothing(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Scope and metadata are a union."""
    http.get(SERVICES, json=page("services", []))
    http.get(INCIDENTS, json=NONE)
    provider.query({"scope": {"service": "nope"}, "metadata": {"service_id": "P9"}}, call)
    assert sent(http.last_request)["service_ids[]"] == ["P9"]


@pytest.mark.case("pagerduty", 5)
def test_text_is_looked_for_here_page_after_page(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Every word must occur, in any letter case, in any of the texts."""
    fits = [{"id": f"PF{n}", "title": "Disk full", "service": {"summary": "DB1"}} for n in range(3)]
    pages = [
        {"json": page("incidents", incidents(0, 100), more=True)},
        {"json": page("incidents", fits, more=True)},
    ]
    http.get(INCIDENTS, pages)
    found = provider.query({"query": "disk  db1", "limit": 2}, call)
    assert [incident["id"] for incident in found] == ["PF0", "PF1"]
    assert [sent(r)["limit"] for r in http.request_history] == [["100"], ["100"]]


@pytest.mark.parametrize("query", ["fire", "1234", "BAF7CF", "mail service", "smoke"])
def test_where_text_is_looked_for(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, query: str
) -> None:
    """Title, number, key, service and description."""
    raw = {**FULL, "body": {"details": {"sensor": "Smoke"}}}
    http.get(INCIDENTS, json=page("incidents", [raw]))
    assert len(provider.query({"query": query}, call)) == 1
    assert provider.query({"query": f"{query} nothing-like-that"}, call) == []


def test_text_is_looked_for_in_a_thousand_incidents(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """A word that nothing has does not read the whole history."""

    def answer(request: Any, context: Any) -> Json:
        return page("incidents", incidents(int(sent(request)["offset"][0]), 100), more=True)

    http.get(INCIDENTS, json=answer)
    assert provider.query({"query": "nothing-like-that"}, call) == []
    assert http.call_count == 10


def test_severities_are_urgencies_and_then_priorities(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Two severities of one urgency are told apart where there is a priority."""
    found = [
        {"id": "P1", "urgency": "high", "priority": {"summary": "P2"}},
        {"id": "P2", "urgency": "high", "priority": {"summary": "SEV-1"}},
        {"id": "P3", "urgency": "high", "priority": {"summary": "Gold"}},
        {"id": "P4", "urgency": "high"},
    ]
    http.get(INCIDENTS, json=page("incidents", found))
    asked = {"severities": ["high", "p2", "Error"]}
    assert [i["id"] for i in provider.query(asked, call)] == ["P1", "P3", "P4"]
    assert sent(http.last_request)["urgencies[]"] == ["high"]
    provider.query({"severities": ["sev1", "info"]}, call)
    assert sent(http.last_request)["urgencies[]"] == ["high", "low"]


def test_by_urgency_priorities_do_not_count(
    http: requests_mock.Mocker, build: Build, call: Call
) -> None:
    """severityFrom urgency: nothing is left to drop here, so pages have the size of the limit."""
    raw = {"id": "P1", "urgency": "high", "priority": {"summary": "P2"}}
    http.get(INCIDENTS, json=page("incidents", [raw]))
    [found] = build(severityFrom="urgency").query({"severities": ["critical"], "limit": 7}, call)
    assert found["severity"] == "critical"
    assert sent(http.last_request)["limit"] == ["7"]


def test_an_odd_entry_costs_only_itself(
    http: requests_mock.Mocker,
    provider: PagerDutyIncidents,
    call: Call,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What has no id is left out, and the log says so."""
    odd = [None, 5, {}, {"id": None}, {"id": ""}, {"id": 7}, {"id": "P1"}]
    http.get(INCIDENTS, json=page("incidents", odd))
    assert [incident["id"] for incident in provider.query({}, call)] == ["P1"]
    assert caplog.text.count("without id") == 6


def test_a_wrong_base_url_is_told(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """A list that is not there is no matter of ids."""
    http.get(INCIDENTS, status_code=404, json={})
    with pytest.raises(NotFound, match="no list of incidents under apiURL"):
        provider.query({}, call)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.text(min_size=1), query=st.text())
def test_no_text_becomes_a_parameter(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, name: str, query: str
) -> None:
    """Names go upstream as one value, whatever they hold; queries not at all."""
    http.reset_mock()
    http.get(SERVICES, json=page("services", [{"id": "P1", "name": name.strip()}]))
    http.get(INCIDENTS, json=NONE)
    provider.query({"scope": {"service": name}, "query": query}, call)
    asked = sent(http.last_request)
    assert set(asked) - {"service_ids[]"} == {"limit", "offset", "sort_by"}
    if name.strip():
        lookup = http.request_history[0]
        assert sent(lookup) == {"query": [name.strip()], "limit": ["100"], "offset": ["0"]}
        assert asked["service_ids[]"] == ["P1"]


def test_half_a_character_is_refused(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """JSON can hold half of a surrogate pair, a URL cannot."""
    with pytest.raises(BadRequest, match=r"scope\.service holds half"):
        provider.query({"scope": {"service": "a\ud800"}}, call)
    assert http.call_count == 0

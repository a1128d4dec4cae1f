"""One incident and its timeline."""

from typing import Any

import pytest
import requests_mock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsorch.errors import BadRequest, NotFound, ProviderError
from opsorch.plugin import Call
from opsorch_plugins.pagerduty.provider import PagerDutyIncidents
from tests.plugins.pagerduty.support import FULL, INCIDENTS, Json, page, path_of, sent

GET_ONE = f"{INCIDENTS}/PT4KHLK"
GONE = {"error": {"message": "Not Found", "code": 2100}}


@pytest.mark.case("pagerduty", 6)
@pytest.mark.parametrize(
    "wanted", ["../users", "A?x=1", "", " ", "X/notes", "P" * 33, "ＰＴ", None]
)
@pytest.mark.parametrize("method", ["get", "update", "timeline", "append"])
def test_what_is_no_id_is_refused_without_a_call(
    http: requests_mock.Mocker,
    provider: PagerDutyIncidents,
    call: Call,
    method: str,
    wanted: str | None,
) -> None:
    """No id leads to another resource, or to the list."""
    payload = {"id": wanted, "input": {"title": "x"}, "entry": {"body": "x"}}
    with pytest.raises(BadRequest, match=r"^id "):
        getattr(provider, method)(payload, call)
    assert http.call_count == 0


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wanted=st.text())
def test_no_id_leaves_its_place(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, wanted: str
) -> None:
    """Either it is refused, or it is the last part of the path."""
    http.reset_mock()
    http.get(requests_mock.ANY, json={"incident": FULL})
    try:
        provider.get({"id": wanted}, call)
    except BadRequest:
        assert http.call_count == 0
    else:
        assert path_of(http.last_request) == f"/incidents/{wanted.strip()}"


@pytest.mark.case("pagerduty", 7)
def test_details_that_are_an_object_are_told_as_json(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """The body is asked for, and may be anything."""
    raw = {**FULL, "body": {"type": "incident_body", "details": {"b": 1, "a": "é"}}}
    http.get(GET_ONE, json={"incident": raw})
    found = provider.get({"id": "PT4KHLK"}, call)
    assert found["description"] == '{\n  "a": "é",\n  "b": 1\n}'
    assert sent(http.last_request) == {"include[]": ["body"]}


@pytest.mark.case("pagerduty", 7)
def test_an_unknown_incident_is_not_found(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Kind and id are told."""
    http.get(f"{INCIDENTS}/PNONE", status_code=404, json=GONE)
    with pytest.raises(NotFound, match="no incident PNONE"):
        provider.get({"id": "PNONE"}, call)


def test_a_body_that_cannot_be_asked_for_is_done_without(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """The include is not documented: refused, it is left out, once."""
    refused = {"status_code": 400, "json": {"error": {"message": "Invalid Input Provided"}}}
    http.get(GET_ONE, [refused, {"json": {"incident": FULL}}])
    assert provider.get({"id": "PT4KHLK"}, call)["title"] == "The server is on fire."
    assert [sent(r) for r in http.request_history] == [{"include[]": ["body"]}, {}]
    http.get(GET_ONE, [refused, refused])
    with pytest.raises(BadRequest, match="Invalid Input Provided"):
        provider.get({"id": "PT4KHLK"}, call)


@pytest.mark.parametrize("body", [{}, {"incident": None}, {"incident": {}}, {"incident": [FULL]}])
def test_no_blank_incident_is_made_up(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, body: Json
) -> None:
    """An answer without an incident is no answer."""
    http.get(GET_ONE, json=body)
    with pytest.raises(ProviderError, match="unexpected response"):
        provider.get({"id": "PT4KHLK"}, call)


def test_a_number_is_an_id_too(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Only reading one takes numbers: all else looks the id up first."""
    http.get(f"{INCIDENTS}/1234", json={"incident": FULL})
    http.put(GET_ONE, json={"incident": FULL})
    http.post(f"{GET_ONE}/notes", json={"note": {}})
    http.get(f"{GET_ONE}/log_entries", json=page("log_entries", [{"id": "R1"}]))
    assert provider.get({"id": "1234"}, call)["id"] == "PT4KHLK"
    provider.update({"id": "1234", "input": {"title": "x"}}, call)
    provider.append({"id": "1234", "entry": {"body": "x"}}, call)
    [entry] = provider.timeline({"id": "1234"}, call)
    assert entry["incidentId"] == "1234"
    verbs = [(r.method, path_of(r)) for r in http.request_history]
    look_up = ("GET", "/incidents/1234")
    assert verbs == [
        look_up,
        look_up,
        ("PUT", "/incidents/PT4KHLK"),
        look_up,
        ("POST", "/incidents/PT4KHLK/notes"),
        look_up,
        ("GET", "/incidents/PT4KHLK/log_entries"),
    ]


def log_entry(kind: str, at: str, **more: Any) -> Json:
    return {"id": f"R{at}", "type": f"{kind}_log_entry", "created_at": at, **more}


@pytest.mark.case("pagerduty", 16)
def test_a_timeline_is_read_page_by_page_and_turned_round(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """PagerDuty sends the newest first; the note's text is in its channel."""
    agent = {"id": "PXPGF42", "type": "user_reference", "summary": "Earline", "html_url": "u"}
    note = log_entry(
        "annotate",
        "2024-01-01T00:00:03Z",
        summary="Note added.",
        channel={"type": "note", "summary": "The disk is full"},
        agent=agent,
        html_url="h",
    )
    pages = [
        {
            "json": page(
                "log_entries", [note, log_entry("notify", "2024-01-01T00:00:02Z")], more=True
            )
        },
        {"json": page("log_entries", [log_entry("trigger", "2024-01-01T01:00:00+01:00")])},
    ]
    http.get(f"{GET_ONE}/log_entries", pages)
    timeline = provider.timeline({"id": "PT4KHLK"}, call)
    assert [e["kind"] for e in timeline] == ["incident_created", "notification", "note"]
    assert timeline[0]["at"] == "2024-01-01T00:00:00Z"
    last = timeline[-1]
    assert (last["body"], last["incidentId"]) == ("The disk is full", "PT4KHLK")
    assert last["actor"] == {"id": "PXPGF42", "name": "Earline", "type": "user", "url": "u"}
    assert last["metadata"] == {"type": "annotate_log_entry", "channel": "note", "html_url": "h"}
    assert "actor" not in timeline[0]
    first, second = http.request_history
    assert sent(first) == {
        "limit": ["100"],
        "offset": ["0"],
        "time_zone": ["UTC"],
        "is_overview": ["false"],
        "include[]": ["channels"],
    }
    assert sent(second)["offset"] == ["2"]


def test_a_timeline_ends_at_a_thousand_entries(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """The newest are kept."""

    def answer(request: Any, context: Any) -> Json:
        start = int(sent(request)["offset"][0])
        entries = [{"id": f"R{n}", "type": "notify_log_entry"} for n in range(start, start + 100)]
        return page("log_entries", entries, more=True)

    http.get(f"{GET_ONE}/log_entries", json=answer)
    timeline = provider.timeline({"id": "PT4KHLK"}, call)
    assert len(timeline) == 1000
    assert http.call_count == 10
    assert timeline[-1]["id"] == "R0"


def test_the_timeline_of_an_unknown_incident_is_not_found(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """It is the incident that is missing."""
    http.get(f"{INCIDENTS}/PNONE/log_entries", status_code=404, json=GONE)
    with pytest.raises(NotFound, match="no incident PNONE"):
        provider.timeline({"id": "PNONE"}, call)

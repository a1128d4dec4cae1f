"""The tables, and that no JSON is too odd for them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsorch.capabilities import operations
from opsorch_plugins.pagerduty.mapping import (
    SEVERITIES,
    SEVERITY_IN,
    STATUS_IN,
    Reading,
    incident_of,
    service_of,
)
from opsorch_plugins.pagerduty.timeline_mapping import entry_of, timeline_of
from tests.plugins.pagerduty.support import FULL

READING = Reading("pagerduty")
ZERO = "0001-01-01T00:00:00Z"


def test_an_incident_in_full() -> None:
    """Every field has its place."""
    raw = {**FULL, "body": {"type": "incident_body", "details": "It burns."}}
    assert incident_of(raw, Reading("pd-eu")) == {
        "id": "PT4KHLK",
        "title": "The server is on fire.",
        "description": "It burns.",
        "status": "resolved",
        "severity": "high",
        "service": "My Mail Service",
        "url": "https://subdomain.pagerduty.com/incidents/PT4KHLK",
        "createdAt": "2015-10-06T21:30:42Z",
        "updatedAt": "2015-10-06T21:40:23Z",
        "fields": {
            "incidentNumber": 1234,
            "urgency": "high",
            "priority": "P2",
            "assignees": ["Earline Greenholt"],
            "teams": ["Engineering"],
            "alertCount": 2,
        },
        "metadata": {
            "source": "pd-eu",
            "incident_key": "baf7cf21b1da41b4b0221008339ff357",
            "service_id": "PIJ90N7",
            "service_url": "https://subdomain.pagerduty.com/service-directory/PIJ90N7",
            "html_url": "https://subdomain.pagerduty.com/incidents/PT4KHLK",
            "last_status_change_at": "2015-10-06T21:38:23Z",
            "resolved_at": "2015-10-06T21:38:23Z",
            "escalation_policy": {"id": "PT20YPA", "summary": "Another Escalation Policy"},
            "incident_number": 1234,
            "priority_id": "P53ZZH5",
            "assignments": [
                {
                    "id": "PXPGF42",
                    "name": "Earline Greenholt",
                    "html_url": "https://subdomain.pagerduty.com/users/PXPGF42",
                }
            ],
        },
    }


def test_an_incident_of_which_little_is_known() -> None:
    """What is missing is unset; no time is made up."""
    raw = {"id": "P1", "summary": "[#1] x", "status": "SNOOZED", "created_at": "soon"}
    assert incident_of(raw, READING) == {
        "id": "P1",
        "title": "[#1] x",
        "status": "snoozed",
        "severity": "medium",
        "createdAt": ZERO,
        "updatedAt": ZERO,
        "metadata": {"source": "pagerduty"},
    }


@pytest.mark.parametrize(
    ("times", "updated"),
    [
        ({"updated_at": "2024-01-01T00:00:00.120+0200"}, "2023-12-31T22:00:00.12Z"),
        (
            {"updated_at": None, "last_status_change_at": "2024-01-02T00:00:00Z"},
            "2024-01-02T00:00:00Z",
        ),
        ({"updated_at": "x", "created_at": "2024-01-03T00:00:00-05"}, "2024-01-03T05:00:00Z"),
        ({}, ZERO),
    ],
)
def test_when_an_incident_changed(times: dict[str, Any], updated: str) -> None:
    """The first time that there is, with any offset."""
    assert incident_of({"id": "P1", **times}, READING)["updatedAt"] == updated


@pytest.mark.parametrize(
    ("priority", "urgency", "severity"),
    [
        ("P1", "low", "critical"),
        ("SEV1", "low", "critical"),
        ("sev-0", "low", "critical"),
        ("P2", "low", "high"),
        ("Sev 2", "low", "high"),
        ("P3", "high", "medium"),
        ("SEV3", "high", "medium"),
        ("p4", "high", "low"),
        ("SEV-4", "high", "low"),
        ("P5", "high", "info"),
        ("SEV5", "high", "info"),
        ("Gold", "high", "critical"),
        ("high", "low", "medium"),
        (None, "high", "critical"),
        (None, "low", "medium"),
        (None, None, "medium"),
    ],
)
def test_severity_is_that_of_the_priority_or_of_the_urgency(
    priority: str | None, urgency: str | None, severity: str
) -> None:
    """A priority of another scheme does not count."""
    raw = {"id": "P1", "urgency": urgency, "priority": priority and {"summary": priority}}
    assert incident_of(raw, READING)["severity"] == severity
    by_urgency = "critical" if urgency == "high" else "medium"
    assert incident_of(raw, Reading("x", by_priority=False))["severity"] == by_urgency


def test_severities_come_back_as_they_went_where_priorities_are_used() -> None:
    """Every word is one of the five, and every one of the five has its word."""
    assert {known.severity for known in SEVERITY_IN.values()} == set(SEVERITIES)
    assert all(SEVERITY_IN[word].severity == word for word in SEVERITIES)
    assert {word for word, known in SEVERITY_IN.items() if known.urgency == "high"} == {
        "critical", "sev0", "sev1", "p1", "high", "sev2", "p2", "error",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "status", "shown"),
    [
        (("open", "triggered", "new", "firing"), "triggered", "open"),
        (
            (
                "acknowledged",
                "ack",
                "investigating",
                "identified",
                "mitigating",
                "monitoring",
                "in_progress",
            ),
            "acknowledged",
            "acknowledged",
        ),
        (("resolved", "closed", "done"), "resolved", "resolved"),
    ],
)
def test_statuses(words: tuple[str, ...], status: str, shown: str) -> None:
    """Each of our words is one of PagerDuty's three."""
    assert {word for word, known in STATUS_IN.items() if known == status} == set(words)
    assert incident_of({"id": "P1", "status": status}, READING)["status"] == shown


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("annotate", "note"),
        ("trigger", "incident_created"),
        ("resolve", "incident_resolved"),
        ("acknowledge", "status_change"),
        ("unacknowledge", "status_change"),
        ("snooze", "status_change"),
        ("assign", "assignment_change"),
        ("delegate", "assignment_change"),
        ("escalate", "escalation"),
        ("exhaust_escalation_path", "escalation"),
        ("repeat_escalation_path", "escalation"),
        ("notify", "notification"),
        ("urgency_change", "severity_change"),
        ("custom_field_value_change", "field_change"),
        ("field_value_change", "field_change"),
        ("reach_trigger_limit", "reach_trigger_limit"),
    ],
)
def test_kinds_of_log_entries(kind: str, expected: str) -> None:
    """A type that is not known keeps its name."""
    raw = {"id": "R1", "type": f"{kind}_log_entry", "summary": "What happened"}
    entry = entry_of(raw, "P1")
    assert (entry["kind"], entry["body"]) == (expected, "What happened")
    assert entry["metadata"] == {"type": f"{kind}_log_entry"}


@pytest.mark.parametrize(
    ("more", "body"),
    [
        ({"channel": {"content": "a", "summary": "b", "notes": "c"}, "note": "d"}, "a"),
        ({"channel": {"content": "", "summary": "b", "notes": "c"}, "note": "d"}, "b"),
        ({"channel": {"notes": "c"}, "note": "d"}, "c"),
        ({"channel": None, "note": "d"}, "d"),
        ({"channel": "x"}, "Note added."),
    ],
)
def test_the_text_of_a_note(more: dict[str, Any], body: str) -> None:
    """The first place that holds some."""
    raw = {"id": "R1", "type": "annotate_log_entry", "summary": "Note added.", **more}
    assert entry_of(raw, "P1")["body"] == body


def test_a_resolution_follows_the_summary() -> None:
    """On a line of its own, if there is one."""
    raw = {"id": "R1", "type": "resolve_log_entry", "summary": "Resolved by Ann."}
    assert entry_of(raw, "P1")["body"] == "Resolved by Ann."
    assert entry_of({**raw, "note": "more disk"}, "P1")["body"] == "Resolved by Ann.\nmore disk"


def test_entries_of_one_second_keep_their_order() -> None:
    """Newest first becomes oldest first, fractions count, and times that are none come first."""
    times = ["2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "x"]
    raw = [{"id": f"R{n}", "type": "t", "created_at": at} for n, at in enumerate(times)]
    assert [entry["id"] for entry in timeline_of(raw, "P1")] == ["R3", "R2", "R1", "R0"]


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("high")
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)
NAMES = [
    *("id", "title", "summary", "name", "status", "urgency", "type", "note", "html_url"),
    *("body", "details", "service", "priority", "escalation_policy", "channel", "agent"),
    *("assignments", "assignee", "teams", "alert_counts", "all", "incident_number"),
    *("created_at", "updated_at", "incident_key"),
]
OBJECTS = st.dictionaries(
    st.sampled_from(NAMES),
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
        ),
    ),
)
RESULTS = {operation.method: operation.result for _, operation in operations()}


def as_answered(method: str, result: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a client of the gateway gets; fails where the result does not fit the contract."""
    answer: list[dict[str, Any]] = json.loads(RESULTS[method].convert(json.dumps(result).encode()))
    return answer


@given(raw=OBJECTS)
def test_no_incident_is_too_odd(raw: dict[str, Any]) -> None:
    """One that lacks or confuses fields still has the shape of the contract, and no null."""
    found = incident_of(raw, READING)
    assert as_answered("incident.query", [found]) == [found]
    assert None not in found.values()


@given(raw=OBJECTS)
def test_no_service_or_log_entry_is_too_odd(raw: dict[str, Any]) -> None:
    """Likewise."""
    service = service_of(raw, "pagerduty")
    assert as_answered("service.query", [service]) == [service]
    assert all(service.get("tags", {}).values())
    [entry] = timeline_of([raw], "P1")
    assert as_answered("incident.timeline.get", [entry]) == [entry]


@given(details=ANY_JSON)
def test_details_may_be_anything(details: Any) -> None:
    """Objects are told as JSON."""
    found = incident_of({"id": "P1", "body": {"details": details}}, READING)
    if isinstance(details, dict) and details:
        assert json.loads(found["description"]) == details
    else:
        assert isinstance(found.get("description", ""), str)

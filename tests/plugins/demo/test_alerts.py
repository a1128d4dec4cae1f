"""Alerts: computed from the clock and the incidents, never stored."""

import pytest

from opsorch.errors import NotFound
from opsorch_plugins.demo.catalogue import ALERTS
from tests.plugins.demo.support import ANCHOR, minutes, text

AT_ANCHOR = {
    "firing": {"al-010", "al-011", "al-012", "al-014"},
    "silenced": {"al-013"},
    "resolved": {"al-002", "al-004", "al-006", "al-scenario-003"},
}


def statuses(demo):
    return {item["id"]: item["status"] for item in demo.call("alert.query")}


def test_query_lists_all_the_newest_first(demo):
    found = demo.call("alert.query")
    assert len(found) == 20
    times = [item["createdAt"] for item in found]
    assert times == sorted(times, reverse=True)


def test_an_alert_says_what_fired_it(demo):
    alert = demo.call("alert.get", {"id": "al-scenario-002"})
    value = alert["fields"].pop("value")
    assert value > 90
    assert alert == {
        "id": "al-scenario-002",
        "title": "Database connections nearly exhausted",
        "description": "More than 90 of the 100 connections of the primary are in use.",
        "status": "acknowledged",
        "severity": "critical",
        "service": "svc-database",
        "url": "https://demo.opsorch.example/alert/al-scenario-002",
        "createdAt": text(ANCHOR - minutes(27)),
        "updatedAt": text(ANCHOR - minutes(24)),
        "fields": {
            "metric": "db_connections_active",
            "labels": {"service": "svc-database", "env": "prod", "database": "primary"},
            "measure": "value",
            "comparison": ">",
            "threshold": 90,
            "incidentId": "inc-scenario-002",
            "team": "team-data",
            "environment": "prod",
            "channel": "#database",
            "scenarioId": "cascading-failure",
            "scenarioName": "Cascading failure",
        },
        "metadata": {"isScenario": True, "source": "demo"},
    }


def test_statuses_at_the_anchor(demo):
    found = statuses(demo)
    named = {alert: word for word, ids in AT_ANCHOR.items() for alert in ids}
    assert found == {alert.id: named.get(alert.id, "acknowledged") for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda item: item.id)
def test_the_value_now_is_on_the_bad_side_unless_the_anomaly_is_over(demo, alert):
    fields = demo.call("alert.get", {"id": alert.id})["fields"]
    bad = fields["value"] > fields["threshold"]
    if fields["comparison"] == "<":
        bad = fields["value"] < fields["threshold"]
    assert bad == (alert.id not in AT_ANCHOR["resolved"])


def test_an_alert_is_acknowledged_once_its_incident_left_open(demo):
    demo.now = ANCHOR + minutes(3)
    demo.call("incident.update", {"id": "inc-011", "input": {"status": "investigating"}})
    alert = demo.call("alert.get", {"id": "al-010"})
    assert (alert["status"], alert["updatedAt"]) == ("acknowledged", text(ANCHOR + minutes(3)))
    demo.call("incident.update", {"id": "inc-011", "input": {"status": "open"}})
    assert demo.call("alert.get", {"id": "al-010"})["status"] == "firing"


def test_an_alert_is_resolved_five_minutes_after_its_incident(demo):
    demo.call("incident.update", {"id": "inc-scenario-001", "input": {"status": "resolved"}})
    demo.now = ANCHOR + minutes(4.99)
    assert statuses(demo)["al-scenario-001"] == "acknowledged"
    demo.now = ANCHOR + minutes(5)
    alert = demo.call("alert.get", {"id": "al-scenario-001"})
    assert alert["status"] == "resolved"
    assert alert["updatedAt"] == alert["fields"]["resolvedAt"] == text(ANCHOR + minutes(5))
    assert statuses(demo)["al-001"] == "resolved"


def test_the_campaign_ends_by_itself(demo):
    demo.now = ANCHOR + minutes(11)
    assert statuses(demo)["al-scenario-005"] == "resolved"


def test_open_scenarios_end_a_day_after_the_anchor(demo):
    demo.now = ANCHOR + minutes(24 * 60 + 5)
    found = statuses(demo)
    assert {found[alert.id] for alert in ALERTS if alert.scenario_id} == {"resolved"}
    assert found["al-012"] == "firing"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"statuses": ["Firing"]}, AT_ANCHOR["firing"]),
        ({"statuses": ["firing", "silenced"]}, AT_ANCHOR["firing"] | {"al-013"}),
        ({"statuses": ["triggered"]}, set()),
        ({"severities": ["INFO"]}, {"al-010", "al-014"}),
        ({"scope": {"team": "team-platform"}}, {"al-012", "al-014"}),
        ({"scope": {"service": "svc-web"}, "severities": ["warning"]}, {"al-013"}),
        ({"scope": {"environment": "staging"}}, set()),
        ({"query": "STRIPE slow"}, {"al-004", "al-scenario-004"}),
        ({"query": "no such words"}, set()),
        ({"metadata": {"metric": "disk_usage_ratio"}}, {"al-012"}),
        ({"metadata": {"incidentId": "inc-scenario-002"}}, {"al-007", "al-scenario-002"}),
        ({"metadata": {"isScenario": True}, "statuses": ["resolved"]}, {"al-scenario-003"}),
    ],
)
def test_each_filter_finds_what_it_says(demo, payload, expected):
    assert set(demo.ids("alert.query", payload)) == expected


def test_an_unknown_alert_is_not_found_by_id(demo):
    with pytest.raises(NotFound, match="alert al-999 not found"):
        demo.call("alert.get", {"id": "al-999"})

"""Monitors as alerts."""

from collections.abc import Callable
from typing import Any

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, NotFound, ProviderError
from opsorch.plugin import Call
from opsorch_plugins.datadog.alert_filter import STATUSES
from opsorch_plugins.datadog.alert_mapping import STATUS_OF
from opsorch_plugins.datadog.alerts import DatadogAlerts
from tests.plugins.datadog.support import APP, MONITORS, Json, sent


def monitor(number: int, overall: str = "OK", **more: Any) -> Json:
    return {"id": number, "name": f"Monitor {number}", "overall_state": overall, **more}


def triggered(at: int, status: str = "Alert") -> Json:
    return {"groups": {"host:a": {"status": status, "last_triggered_ts": at}}}


FULL: Json = {
    "id": 12,
    "name": "CPU is high",
    "message": "Look at it",
    "type": "metric alert",
    "query": "avg(last_5m):avg:system.cpu.user{*} > 90",
    "overall_state": "Alert",
    "overall_state_modified": "2024-05-06T07:08:09+00:00",
    "created": "2024-01-02T03:04:05.123456+00:00",
    "modified": "2024-02-03T04:05:06.000000+00:00",
    "priority": 2,
    "tags": ["service:web", "env:prod", "env:blue", "lonely", "thresholds:x"],
    "creator": {"handle": "ann@example.com", "email": "ann@example.com"},
    "options": {"thresholds": {"critical": 90.0}},
    "state": {
        "groups": {
            "host:b": {"name": "host:b", "status": "OK", "last_resolved_ts": 1714979400},
            "host:a": {
                "name": "host:a",
                "status": "Alert",
                "last_triggered_ts": 1714982400,
                "last_resolved_ts": 1714979400,
            },
        }
    },
    "matching_downtimes": [{"id": 1, "start": 1, "end": None, "scope": ["*"]}],
}


@pytest.mark.parametrize("state", [None, 5, ["Alert"], {"Alert": 1}])
def test_a_monitor_of_an_odd_state_costs_only_itself(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call, state: Any
) -> None:
    http.get(MONITORS, json=[monitor(1, state), monitor(2, "Alert")])
    [found] = alerts.query({"statuses": ["firing"]}, call)
    assert found["id"] == "2"


@pytest.mark.case("datadog", 10)
def test_alerts_are_filtered_here(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call
) -> None:
    """By state and severity; the newest trigger comes first, and the limit last."""
    http.get(
        MONITORS,
        json=[
            monitor(1, "Alert", priority=1, state=triggered(100)),
            monitor(2, "Alert", priority=2, state=triggered(300)),
            monitor(3, "Alert", priority=1, state=triggered(200)),
            monitor(4, "OK", priority=1),
        ],
    )
    payload = {
        "statuses": ["firing"],
        "severities": ["P1"],
        "limit": 1,
        "query": " cpu ",
        "scope": {"service": "Web", "team": "core ops", "environment": "prod"},
    }
    [found] = alerts.query(payload, call)
    assert found["id"] == "3"
    assert sent(http.last_request) == {
        "name": "cpu",
        "monitor_tags": "service:web,team:core_ops,env:prod",
        "group_states": "alert,warn,no data",
        "with_downtimes": "true",
        "page": "0",
        "page_size": "1000",
    }


def test_pages_are_read_until_one_is_not_full(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call
) -> None:
    first = [monitor(n) for n in range(1, 1001)]
    http.get(MONITORS, [{"json": first}, {"json": [monitor(1001)]}])
    assert len(alerts.query({}, call)) == 1001
    assert [sent(request)["page"] for request in http.request_history] == ["0", "1"]


def test_pages_end_with_the_time_and_after_ten(
    http: requests_mock.Mocker, build: Callable[..., Any], call: Call
) -> None:
    http.get(MONITORS, json=[monitor(n) for n in range(1, 1001)])
    alerts = build(DatadogAlerts)
    assert len(alerts.query({}, Call(Deadline.after(0.9)))) == 1000
    assert http.call_count == 1
    assert len(alerts.query({"limit": 3}, call)) == 3
    assert http.call_count == 11


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["firing"], {1}),
        (["Open"], {1, 2, 4}),
        (["warning"], {2}),
        (["resolved"], {3, 8}),
        (["no data"], {4, 5, 6}),
        (["suppressed"], {7, 8}),
        (["ignored"], {7}),
        (["alert", "ok"], {1, 3, 8}),
        ([], {1, 2, 3, 4, 5, 6, 7, 8}),
    ],
)
def test_statuses(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call, words: list[str], ids: set[int]
) -> None:
    states = ("Alert", "Warn", "OK", "No Data", "Skipped", "Unknown", "Ignored")
    monitors = [monitor(n, state) for n, state in enumerate(states, 1)]
    muted = monitor(8, "OK", matching_downtimes=[{"start": 1, "end": None}])
    http.get(MONITORS, json=[*monitors, muted])
    found = alerts.query({"statuses": words}, call)
    assert {int(alert["id"]) for alert in found} == ids


def test_what_is_shown_as_a_status_is_found_by_it() -> None:
    for state, status in STATUS_OF.items():
        assert state in STATUSES[status]


@pytest.mark.parametrize(
    ("downtimes", "muted"),
    [
        ([{"start": 1, "end": 2}], False),
        ([{"start": 1, "end": 2}, {"start": 1, "end": None}], True),
        ([{"start": 10**11, "end": None}], False),
        ("none", False),
        (["x"], False),
    ],
)
def test_a_downtime_mutes_while_it_lasts(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call, downtimes: Any, muted: bool
) -> None:
    http.get(MONITORS, json=[monitor(1, matching_downtimes=downtimes)])
    [found] = alerts.query({"metadata": {"muted": muted}}, call)
    assert found["fields"]["muted"] is muted
    assert alerts.query({"metadata": {"muted": not muted}}, call) == []


def test_types_are_filtered(http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call) -> None:
    http.get(MONITORS, json=[monitor(1, type="metric alert"), monitor(2, type="log alert")])
    for wanted in ("Log Alert", ["log alert", "x"]):
        [found] = alerts.query({"metadata": {"type": wanted}}, call)
        assert found["id"] == "2"


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({"statuses": ["bogus"]}, "no data"),
        ({"severities": ["bogus"]}, "critical"),
        ({"severities": ["unknown"]}, "every monitor"),
        ({"metadata": {"muted": "yes"}}, "metadata.muted"),
        ({"metadata": {"type": 5}}, "metadata.type"),
        ({"query": "a\x00"}, "control"),
        ({"limit": "5"}, "limit"),
    ],
)
def test_words_that_do_not_fit(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call, payload: Json, word: str
) -> None:
    with pytest.raises(BadRequest) as told:
        alerts.query(payload, call)
    assert word in told.value.message
    assert http.call_count == 0


@pytest.mark.case("datadog", 11)
def test_an_alert_is_mapped(
    http: requests_mock.Mocker, build: Callable[..., Any], call: Call
) -> None:
    """The link of a regional site has no ``app.``; tags are apart from other fields."""
    http.get("https://api.us3.datadoghq.com/api/v1/monitor/12", json=FULL)
    found = build(DatadogAlerts, site="us3").get({"id": " 12 "}, call)
    assert sent(http.last_request) == {"group_states": "all", "with_downtimes": "true"}
    assert found == {
        "id": "12",
        "title": "CPU is high",
        "description": "Look at it",
        "status": "firing",
        "severity": "high",
        "service": "web",
        "url": "https://us3.datadoghq.com/monitors/12",
        "createdAt": "2024-01-02T03:04:05.123456Z",
        "updatedAt": "2024-05-06T08:00:00Z",
        "fields": {
            "muted": True,
            "tags": {
                "service": "web",
                "env": ["prod", "blue"],
                "lonely": "",
                "thresholds": "x",
            },
            "groups": [
                {
                    "name": "host:a",
                    "status": "firing",
                    "triggeredAt": "2024-05-06T08:00:00Z",
                    "resolvedAt": "2024-05-06T07:10:00Z",
                },
                {"name": "host:b", "status": "ok", "resolvedAt": "2024-05-06T07:10:00Z"},
            ],
            "triggeredAt": "2024-05-06T08:00:00Z",
            "thresholds": {"critical": 90.0},
        },
        "metadata": {
            "source": "datadog",
            "monitor_id": "12",
            "type": "metric alert",
            "query": FULL["query"],
            "creator": "ann@example.com",
            "tags": FULL["tags"],
        },
    }


@pytest.mark.case("datadog", 11)
@pytest.mark.parametrize("wanted", ["abc", "1/2", "-1", "١٢", "1" * 30])
def test_what_is_no_monitor_id_is_not_found_without_a_call(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call, wanted: str
) -> None:
    with pytest.raises(NotFound):
        alerts.get({"id": wanted}, call)
    assert http.call_count == 0


@pytest.mark.case("datadog", 11)
def test_a_monitor_that_is_not_there(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call
) -> None:
    http.get(f"{MONITORS}/12", status_code=404, json={"errors": ["Monitor not found"]})
    with pytest.raises(NotFound, match="Datadog has no monitor 12"):
        alerts.get({"id": "12"}, call)


@pytest.mark.parametrize(
    ("more", "severity"),
    [
        ({"priority": 1}, "critical"),
        ({"priority": 5, "tags": ["priority:P1"]}, "info"),
        ({"priority": None, "tags": ["priority:P4", "severity:high"]}, "low"),
        ({"tags": ["severity:warning"]}, "medium"),
        ({"tags": ["severity:sev0"]}, "critical"),
        ({"tags": ["severity:odd"], "overall_state": "Alert"}, "high"),
        ({"priority": 9, "overall_state": "Warn"}, "medium"),
        ({"priority": True}, "info"),
    ],
)
def test_severities(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call, more: Json, severity: str
) -> None:
    """Priority, then tags, then state; a query finds what it shows."""
    http.get(MONITORS, json=[{**monitor(1), **more}])
    [found] = alerts.query({"severities": [severity]}, call)
    assert found["severity"] == severity


def test_fifty_groups_are_shown_the_worst_first(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call
) -> None:
    groups: Json = {f"host:{n:03}": {"status": "OK"} for n in range(80)}
    groups["host:079"] = {"status": "Alert", "last_triggered_ts": 10**20}
    groups["odd"] = "x"
    http.get(MONITORS, json=[monitor(1, state={"groups": groups})])
    [found] = alerts.query({}, call)
    shown = found["fields"]["groups"]
    assert len(shown) == 50
    assert shown[0] == {"name": "host:079", "status": "firing"}


def test_a_monitor_may_lack_everything(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call
) -> None:
    http.get(MONITORS, json=[{}, "x"])
    [found] = alerts.query({}, call)
    assert (found["id"], found["title"], found["status"]) == ("", "", "unknown")
    assert found["updatedAt"] == "0001-01-01T00:00:00Z"


def test_an_answer_that_is_no_list(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call
) -> None:
    http.get(MONITORS, json={"monitors": []})
    with pytest.raises(ProviderError, match="it is no list"):
        alerts.query({}, call)


def test_order_is_worst_then_newest_then_id(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call
) -> None:
    http.get(
        MONITORS,
        json=[
            monitor(10),
            monitor(9),
            monitor(8, "No Data"),
            monitor(7, "Warn"),
            monitor(6, "Alert", state=triggered(1)),
            monitor(5, "Alert", state=triggered(2)),
        ],
    )
    assert [a["id"] for a in alerts.query({}, call)] == ["5", "6", "7", "8", "9", "10"]
    assert alerts.query({}, call)[0]["url"] == f"{APP}/monitors/5"

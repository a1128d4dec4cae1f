"""Alert queries against canned replies."""

import datetime
import json
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
import requests
import requests_mock

from opsorch.errors import BadRequest, NotFound, ProviderError, UpstreamUnreachable
from opsorch.plugin import Call
from opsorch_plugins.prometheus.provider import PrometheusAlerts
from tests.plugins.prometheus.support import ALERTMANAGER, sent

Build = Callable[..., PrometheusAlerts]
Json = dict[str, Any]

ALERTS = f"{ALERTMANAGER}/api/v2/alerts"
SILENCE = "7b0a9a6e-0a5e-4f0e-8a0e-0a5e4f0e8a0e"


def alert(number: int, *, state: str = "active", **more: Any) -> Json:
    """An alert as Alertmanager 0.25 lists it; ``number`` makes its id and its minute."""
    status = {"state": state, "silencedBy": [], "inhibitedBy": [], **more.pop("status", {})}
    start = datetime.datetime(2024, 5, 6, 7, number % 60, tzinfo=datetime.UTC)
    return {
        "fingerprint": f"{number:016x}",
        "labels": {"alertname": f"Alert{number}", "severity": "critical"},
        "annotations": {},
        "receivers": [{"name": "default"}],
        "startsAt": start.isoformat().replace("+00:00", "Z"),
        "endsAt": "2024-05-06T09:00:00Z",
        "updatedAt": "2024-05-06T07:30:00.123456789Z",
        "generatorURL": "http://prometheus.test/graph?g0.expr=up",
        "status": status,
        **more,
    }


@pytest.mark.case("prometheus", 16)
def test_firing_asks_for_active_alerts(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """The flags not asked for are sent as false, and other states are left out here too."""
    http.get(ALERTS, json=[alert(1), alert(2, state="suppressed"), alert(3, state="unprocessed")])
    found = alerts_of().query({"statuses": ["firing"]}, call)
    assert [a["id"] for a in found] == [f"{1:016x}"]
    assert sent(http.last_request) == {
        "active": ["true"],
        "silenced": ["false"],
        "inhibited": ["false"],
        "unprocessed": ["false"],
    }


@pytest.mark.case("prometheus", 16)
@pytest.mark.parametrize("word", ["resolved", "closed", "ok", "acknowledged", "Snoozed"])
def test_states_that_alertmanager_does_not_have_match_nothing(
    http: requests_mock.Mocker, alerts_of: Build, call: Call, word: str
) -> None:
    """It forgets resolved alerts and knows no acknowledging: [] without a call."""
    assert alerts_of().query({"statuses": [word]}, call) == []
    assert http.call_count == 0


@pytest.mark.case("prometheus", 16)
def test_silenced_and_inhibited_are_told_apart_here(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """Alertmanager's flags list both; who muted the alert decides."""
    by_silence = alert(1, state="suppressed", status={"silencedBy": [SILENCE]})
    by_alert = alert(2, state="suppressed", status={"inhibitedBy": ["00000000000000ff"]})
    http.get(ALERTS, json=[by_silence, by_alert, alert(3)])
    asked = {
        "silenced": [1],
        "inhibited": [2],
        "muted": [2, 1],
        "firing": [3],
    }
    for word, numbers in asked.items():
        found = alerts_of().query({"statuses": [word]}, call)
        assert [a["id"] for a in found] == [f"{n:016x}" for n in numbers]
    found = alerts_of().query({"statuses": ["silenced", "resolved"]}, call)
    assert len(found) == 1
    parameters = sent(http.last_request)
    assert (parameters["silenced"], parameters["active"]) == (["true"], ["false"])


@pytest.mark.case("prometheus", 16)
def test_unknown_statuses_are_refused(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """The accepted words are listed."""
    with pytest.raises(BadRequest, match=r"statuses.*bogus.*firing.*silenced"):
        alerts_of().query({"statuses": ["firing", "bogus"]}, call)
    assert http.call_count == 0


@pytest.mark.case("prometheus", 16)
def test_the_limit_keeps_the_newest(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """Alerts are sorted before they are cut; those of one instant by their id."""
    twins = [alert(4), {**alert(4), "fingerprint": f"{3:016x}"}]
    later = {**alert(5), "startsAt": "2024-05-06T07:04:00.5Z"}
    http.get(ALERTS, json=[alert(2), *twins, alert(1), later])
    found = alerts_of().query({"limit": 2}, call)
    assert [a["id"] for a in found] == [f"{n:016x}" for n in (5, 3)]
    assert len(alerts_of().query({"limit": 0}, call)) == 5
    with pytest.raises(BadRequest, match="limit"):
        alerts_of().query({"limit": -1}, call)


def test_no_statuses_send_no_flags(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """Every state is listed; a flag that is not sent counts as true."""
    states = ["active", "suppressed", "unprocessed", "odd"]
    http.get(ALERTS, json=[alert(n, state=state) for n, state in enumerate(states)])
    found = alerts_of().query({}, call)
    assert [a["status"] for a in found] == ["odd", "pending", "suppressed", "firing"]
    assert sent(http.last_request) == {}


@pytest.mark.case("prometheus", 17)
def test_severities_are_one_filter_and_values_are_escaped(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """Several filters must hold at once, so all severities go into one regex."""
    http.get(ALERTS, json=[])
    payload = {"severities": ["critical", "warn.ing"], "scope": {"service": 'a"b\\'}}
    assert alerts_of().query(payload, call) == []
    assert sent(http.last_request)["filter"] == [
        'severity=~"(?i:critical|warn\\\\.ing)"',
        'service="a\\"b\\\\"',
    ]


def test_mapped_severities_are_asked_for_by_their_label_values(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """severityMap works both ways; what it shows as something else is not what was asked for."""
    labels = [{"sev": "page"}, {"sev": "critical"}, {"sev": "P1"}, {"sev": "low"}, {}]
    http.get(ALERTS, json=[{**alert(n), "labels": one} for n, one in enumerate(labels)])
    mapping = {"page": "critical", "Critical": "fatal", "p1": "Critical"}
    provider = alerts_of(severityLabel="sev", severityMap=mapping)
    found = provider.query({"severities": ["CRITICAL", " "]}, call)
    assert sent(http.last_request)["filter"] == ['sev=~"(?i:CRITICAL|page|p1)"']
    assert [a["severity"] for a in found] == ["Critical", "critical"]
    shown = [a["severity"] for a in provider.query({}, call)]
    assert shown == ["", "low", "Critical", "fatal", "critical"]


def test_metadata_narrows_the_query(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """Matchers and a receiver are Alertmanager's own filters, written anew."""
    http.get(ALERTS, json=[])
    metadata: Json = {"matchers": ['a = "x\\"y"', "b!~c.*"], "receiver": "team-.*"}
    payload = {"metadata": metadata, "scope": {"team": "t", "environment": "e"}}
    alerts_of(labels={"team": "squad"}).query(payload, call)
    parameters = sent(http.last_request)
    assert parameters["filter"] == ['squad="t"', 'env="e"', 'a="x\\"y"', 'b!~"c.*"']
    assert parameters["receiver"] == ["team-.*"]
    alerts_of().query({"metadata": {"matchers": "a=b"}}, call)
    assert sent(http.last_request)["filter"] == ['a="b"']


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"metadata": {"matchers": ['a="b",c="d"']}}, "metadata.matchers[0]"),
        ({"metadata": {"matchers": ["a=b", "nonsense"]}}, "metadata.matchers[1]"),
        ({"metadata": {"matchers": '{a="b"}'}}, "metadata.matchers"),
        ({"metadata": {"matchers": 5}}, "metadata.matchers"),
        ({"metadata": {"receiver": ["a"]}}, "metadata.receiver"),
        ({"metadata": {"groups": "yes"}}, "metadata.groups"),
        ({"metadata": {"silences": 1}}, "metadata.silences"),
        ({"severities": ["a\ud800"]}, "severities"),
        ({"scope": {"service": "\ud800"}}, "scope.service"),
        ({"statuses": "firing"}, "statuses"),
    ],
)
def test_unfit_queries_are_refused_without_a_call(
    http: requests_mock.Mocker, alerts_of: Build, call: Call, payload: Json, field: str
) -> None:
    """Each fault names its field."""
    with pytest.raises(BadRequest) as refused:
        alerts_of().query(payload, call)
    assert field in refused.value.message
    assert http.call_count == 0


def test_a_text_is_found_in_names_annotations_and_labels(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """The text is taken as a whole, whatever its letter case."""
    entries = [
        alert(1),
        alert(2, annotations={"summary": "Disk is FULL soon"}),
        alert(3, annotations={"description": "the disk is fulling"}),
        alert(4, annotations={"runbook": "disk is full"}),
        {**alert(5), "labels": {"alertname": "X", "what": "disk is full"}},
    ]
    http.get(ALERTS, json=entries)
    found = alerts_of().query({"query": " disk IS full "}, call)
    assert [a["id"] for a in found] == [f"{n:016x}" for n in (5, 3, 2)]
    assert [a["title"] for a in alerts_of().query({"query": "alert1"}, call)] == ["Alert1"]


@pytest.mark.case("prometheus", 18)
def test_an_alert_is_found_by_its_fingerprint(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """Every state is looked through; an unknown id is not found."""
    http.get(ALERTS, json=[alert(1), alert(0xAB, state="suppressed")])
    found = alerts_of().get({"id": "00000000000000AB"}, call)
    assert (found["id"], found["status"]) == ("00000000000000ab", "suppressed")
    assert sent(http.last_request) == {}
    with pytest.raises(NotFound, match="0000000000000002"):
        alerts_of().get({"id": f"{2:016x}"}, call)


@pytest.mark.case("prometheus", 18)
@pytest.mark.parametrize("wanted", ["../x", "12", "g" * 16, "0" * 17, "\u0661" * 16])
def test_an_id_of_another_form_is_not_found_without_a_call(
    http: requests_mock.Mocker, alerts_of: Build, call: Call, wanted: str
) -> None:
    """Nothing else can be a fingerprint."""
    with pytest.raises(NotFound):
        alerts_of().get({"id": wanted}, call)
    assert http.call_count == 0


def test_an_alert_in_full(http: requests_mock.Mocker, alerts_of: Build, call: Call) -> None:
    """Every part of an alert has its place; links that are no links are left out."""
    entry = alert(
        7,
        state="suppressed",
        status={"silencedBy": [SILENCE], "inhibitedBy": [], "mutedBy": ["weekend"]},
        labels={"alertname": "Disk", "severity": "page", "service": "db", "env": 'p"d'},
        annotations={
            "summary": "short",
            "message": "middle",
            "description": "long",
            "runbook_url": "javascript:alert(1)",
            "runbook": "https://runbooks.example.com/disk",
            "dashboard_url": "ftp://x",
        },
        receivers=[{"name": "default"}, {"name": "pager"}],
        startsAt="2024-05-06T09:07:00.120+02:00",
        surprise={"new": True},
    )
    http.get(ALERTS, json=[entry])
    [found] = alerts_of(alertmanagerExternalURL="https://am.example.com/x").query({}, call)
    url = found.pop("url")
    assert found == {
        "id": f"{7:016x}",
        "title": "Disk",
        "description": "long",
        "status": "suppressed",
        "severity": "page",
        "service": "db",
        "createdAt": "2024-05-06T07:07:00.12Z",
        "updatedAt": "2024-05-06T07:30:00.123456789Z",
        "fields": {
            "labels": entry["labels"],
            "annotations": entry["annotations"],
            "runbookUrl": "https://runbooks.example.com/disk",
            "receivers": ["default", "pager"],
            "silencedBy": [SILENCE],
            "mutedBy": ["weekend"],
        },
        "metadata": {
            "source": "prometheus",
            "fingerprint": f"{7:016x}",
            "state": "suppressed",
            "endsAt": "2024-05-06T09:00:00Z",
            "generatorURL": "http://prometheus.test/graph?g0.expr=up",
        },
    }
    base, _, fragment = url.partition("/#/alerts?")
    assert base == "https://am.example.com/x"
    shown = urllib.parse.parse_qs(fragment)
    assert shown["filter"] == ['{alertname="Disk",env="p\\"d",service="db",severity="page"}']
    assert shown["silenced"] == shown["inhibited"] == shown["active"] == ["true"]


def test_titles_and_times_have_their_stand_ins(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """Without an alertname the summary, else the id is the title; missing times are zero times."""
    bare: Json = {"fingerprint": "000000000000000a", "labels": {}}
    http.get(ALERTS, json=[{**bare, "annotations": {"summary": "s"}}, bare])
    first, second = alerts_of().query({}, call)
    assert (first["title"], second["title"]) == ("s", "alert 000000000000000a")
    assert second["createdAt"] == second["updatedAt"] == "0001-01-01T00:00:00Z"
    assert (second["status"], second["severity"]) == ("", "")
    assert "description" not in second and "service" not in second and "fields" not in second


def test_elements_that_are_no_alerts_are_skipped(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """One odd element does not cost the whole list; a body that is no list does."""
    odd: list[Any] = [None, 5, {}, {"fingerprint": "x"}, {"labels": {}}, {**alert(2), "status": 3}]
    http.get(ALERTS, json=[*odd, alert(1)])
    assert len(alerts_of().query({}, call)) == 2
    for body in ('{"data": []}', "null", '"text"'):
        http.get(ALERTS, text=body)
        with pytest.raises(ProviderError, match="no list"):
            alerts_of().query({}, call)


@pytest.mark.parametrize("odd", [None, 5, "text", [{"summary": "Alert"}]])
def test_odd_annotations_hold_no_text(
    http: requests_mock.Mocker, alerts_of: Build, call: Call, odd: object
) -> None:
    """They do not get in the way of a search, whose text may stand in a label."""
    http.get(ALERTS, json=[{**alert(2), "annotations": odd}, alert(1)])
    assert [found["title"] for found in alerts_of().query({"query": "alert2"}, call)] == ["Alert2"]


def test_groups_add_their_labels(http: requests_mock.Mocker, alerts_of: Build, call: Call) -> None:
    """An alert in several groups comes once; the endpoint knows no flag for unprocessed."""
    groups = [
        {"labels": {"team": "a"}, "receiver": {"name": "x"}, "alerts": [alert(1), None]},
        {"labels": {"team": "b"}, "receiver": {"name": "y"}, "alerts": [alert(1), alert(2)]},
        {"alerts": None},
        "odd",
    ]
    http.get(f"{ALERTS}/groups", json=groups)
    payload = {"statuses": ["firing"], "metadata": {"groups": True}}
    second, first = alerts_of().query(payload, call)
    assert first["fields"]["groupLabels"] == {"team": "a"}
    assert second["fields"]["groupLabels"] == {"team": "b"}
    parameters = sent(http.last_request)
    assert parameters["active"] == ["true"] and "unprocessed" not in parameters


def test_silences_are_told_in_detail(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """Who silenced it, why and until when; each silence is read once, a lost one left out."""
    lost = "lost/../x"
    silenced = {"silencedBy": [SILENCE, lost]}
    http.get(ALERTS, json=[alert(n, state="suppressed", status=silenced) for n in (1, 2)])
    silence = {
        "id": SILENCE,
        "comment": "maintenance",
        "createdBy": "ops",
        "endsAt": "2024-05-06T10:00:00.000Z",
        "status": {"state": "active"},
    }
    http.get(f"{ALERTMANAGER}/api/v2/silence/{SILENCE}", json=silence)
    http.get(f"{ALERTMANAGER}/api/v2/silence/lost%2F..%2Fx", status_code=404)
    for found in alerts_of().query({"metadata": {"silences": True}}, call):
        assert found["fields"]["silences"] == [
            {
                "id": SILENCE,
                "comment": "maintenance",
                "createdBy": "ops",
                "endsAt": "2024-05-06T10:00:00Z",
            }
        ]
    assert http.call_count == 3


def test_check_tells_the_version_and_nothing_of_the_configuration(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """The reply holds the whole configuration file with its secrets; every member is asked."""
    body = {"versionInfo": {"version": "0.25.0"}, "config": {"original": "key: very-secret"}}
    http.get(f"{ALERTMANAGER}/api/v2/status", json=body)
    http.get("http://am-2.test/api/v2/status", exc=requests.exceptions.ConnectionError)
    checks = alerts_of(alertmanagerURL=[ALERTMANAGER, "http://am-2.test"]).check(call)
    assert [check.ok for check in checks] == [True, False]
    assert "0.25.0" in checks[0].message
    assert "very-secret" not in str(checks)


@pytest.mark.parametrize("body", [{}, [], {"versionInfo": "x"}])
def test_check_needs_no_version(
    http: requests_mock.Mocker, alerts_of: Build, call: Call, body: Any
) -> None:
    """What speaks like Alertmanager may leave the version out."""
    http.get(f"{ALERTMANAGER}/api/v2/status", json=body)
    [check] = alerts_of().check(call)
    assert check.ok and "unknown version" in check.message


PROM = "http://prometheus.test:9090"
RULES = f"{PROM}/api/v1/rules"
QUERY = f"{PROM}/api/v1/query"


def pending(**labels: str) -> Json:
    return {
        "labels": {"alertname": "Slow", "severity": "warning", **labels},
        "annotations": {"summary": "slow"},
        "state": "pending",
        "activeAt": "2024-05-06T07:10:00.5Z",
        "value": "1e+00",
    }


def rules_of(*alerts: Any) -> Json:
    rule = {
        "name": "Slow",
        "query": "latency > 1",
        "duration": 300,
        "state": "pending",
        "health": "ok",
        "type": "alerting",
        "alerts": list(alerts),
    }
    groups = [{"name": "web", "rules": [rule, {"type": "recording"}]}, {"rules": None}, 7]
    return {"status": "success", "data": {"groups": groups}}


def test_pending_alerts_come_of_the_rules_of_prometheus(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """Alertmanager hears of an alert only when it fires; its rule knows it before."""
    http.get(ALERTS, json=[])
    firing = {**pending(service="db"), "state": "firing"}
    http.get(RULES, json=rules_of(pending(service="api"), firing, "odd"))
    [found] = alerts_of(url=PROM).query({"statuses": ["pending"]}, call)
    assert sent(http.last_request) == {"type": ["alert"]}
    assert (found["title"], found["status"], found["severity"]) == ("Slow", "pending", "warning")
    assert found["service"] == "api"
    assert found["createdAt"] == "2024-05-06T07:10:00.5Z"
    assert found["fields"]["rule"] == {
        "name": "Slow",
        "group": "web",
        "query": "latency > 1",
        "durationSeconds": 300,
        "state": "pending",
        "health": "ok",
    }
    assert found["metadata"]["value"] == "1e+00"
    assert json.dumps(found)
    assert alerts_of(url=PROM).get({"id": found["id"]}, call) == found


def test_pending_alerts_are_filtered_like_others(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """Prometheus itself says which label sets fit, so its regexes mean the same in both."""
    http.get(ALERTS, json=[])
    http.get(RULES, json=rules_of(pending(service="api"), pending(service="db")))
    metric = {"__name__": "ALERTS", "alertstate": "pending", **pending(service="api")["labels"]}
    result = [{"metric": metric, "value": [1, "1"]}]
    data = {"resultType": "vector", "result": result}
    http.get(QUERY, json={"status": "success", "data": data})
    payload: Json = {
        "statuses": ["pending"],
        "severities": ["warning"],
        "metadata": {"matchers": ['service=~"a.*"']},
    }
    [found] = alerts_of(url=PROM).query(payload, call)
    assert found["service"] == "api"
    assert sent(http.last_request)["query"] == [
        'ALERTS{alertstate="pending",severity=~"(?i:warning)",service=~"a.*"}'
    ]


@pytest.mark.parametrize(
    "payload",
    [
        {"query": "nowhere"},
        {"metadata": {"receiver": "pager"}},
        {"statuses": ["firing"]},
        {"statuses": []},
    ],
)
def test_pending_alerts_that_were_not_asked_for_stay_out(
    http: requests_mock.Mocker, alerts_of: Build, call: Call, payload: Json
) -> None:
    """They have no receiver yet, and belong to the status pending alone."""
    http.get(ALERTS, json=[])
    http.get(RULES, json=rules_of(pending()))
    assert alerts_of(url=PROM).query({"statuses": ["pending"], **payload}, call) == []


def test_an_alert_known_to_both_comes_once(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """Both compute the same id of the same labels; Alertmanager's word stands."""
    http.get(RULES, json=rules_of(pending()))
    http.get(ALERTS, json=[])
    provider = alerts_of(url=PROM)
    [before] = provider.query({"statuses": ["pending"]}, call)
    entry = {**alert(1, state="unprocessed"), "fingerprint": before["id"]}
    http.get(ALERTS, json=[entry])
    [found] = provider.query({"statuses": ["pending"]}, call)
    assert found["title"] == "Alert1"


def test_pending_alerts_that_cannot_be_had_are_an_error(
    http: requests_mock.Mocker, alerts_of: Build, call: Call
) -> None:
    """A list that lacks half of what was asked for must not look complete."""
    http.get(ALERTS, json=[])
    http.get(RULES, exc=requests.exceptions.ConnectionError)
    with pytest.raises(UpstreamUnreachable, match="Prometheus at"):
        alerts_of(url=PROM).query({"statuses": ["pending"]}, call)
    with pytest.raises(NotFound):
        alerts_of().get({"id": f"{2:016x}"}, call)

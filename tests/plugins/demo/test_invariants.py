"""What must hold over the whole world: the fifteen invariants of the specification.

Those about processes are in test_processes, those about filters in test_filters, test_metrics and
test_logs, too.
"""

import collections
import itertools

import pytest

from opsorch_plugins.demo.catalogue import ALERTS, SCENARIOS, SERVICE_BY_ID
from tests.plugins.demo.support import ANCHOR, Demo, all_logs, minutes, moment_of, text

ROBOTS = {"deploy-bot", "alertmanager", "sre-bot"}
LISTS = (
    "incident.query",
    "alert.query",
    "ticket.query",
    "deployment.query",
    "service.query",
    "team.query",
    "orchestration.plans.query",
    "orchestration.runs.query",
)
PEOPLE_KEYS = {"actor", "assignees", "reporter", "oncall", "owner", "createdBy", "handle"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The seeded world, at its anchor, only read."""
    return Demo(tmp_path_factory.mktemp("invariants"))


@pytest.fixture(scope="module")
def objects(world):
    """Every object of the world by the method that lists it."""
    found = {method: world.call(method, {"limit": 1000}) for method in LISTS}
    found["timeline"] = [
        entry
        for incident in found["incident.query"]
        for entry in world.call("incident.timeline.get", {"id": incident["id"]})
    ]
    found["members"] = [
        member
        for team in found["team.query"]
        for member in world.call("team.members", {"teamID": team["id"]})
    ]
    return found


def by_id(objects, method):
    return {item["id"]: item for item in objects[method]}


def walk(value, path=()):
    """Every key and text within an object."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner, path)
    else:
        yield path, value


def series(world, name, **payload):
    expression = {"metricName": name, **payload.pop("expression", {})}
    return world.call("metric.query", {"expression": expression, **payload})


@pytest.mark.case("demo", 1)
def test_every_service_team_and_person_named_anywhere_exists(world, objects):
    services = set(by_id(objects, "service.query"))
    teams = set(by_id(objects, "team.query"))
    people = {member["handle"] for member in objects["members"]}
    named = collections.defaultdict(set)
    logs = world.call("log.query", {"limit": 1000})["entries"]
    metrics = [one for d in world.call("metric.describe") for one in series(world, d["name"])]
    for path, value in walk([*objects.values(), logs, metrics]):
        # An actor is an object, whose id is the handle.
        named[path[-2] if path[-2:] == ("actor", "id") else path[-1]].add(value)
    assert named["service"] | named["services"] | named["dependencies"] == services
    assert named["team"] | named["parent"] <= teams | {""}
    assert {"team-velocity", "team-data"} <= named["team"]
    persons = set().union(*(named[key] for key in PEOPLE_KEYS)) - teams
    assert persons <= people | ROBOTS
    assert {"kim", "sre-bot", "alertmanager", "milo"} <= persons
    assert people <= persons, "handles are looked at, too"


@pytest.mark.case("demo", 2)
def test_services_and_teams_agree_about_who_owns_what(objects):
    owned = collections.defaultdict(set)
    for service in objects["service.query"]:
        owned[service["tags"]["owner"]].add(service["id"])
    for team in objects["team.query"]:
        assert set(team["metadata"].get("services", [])) == owned[team["id"]], team["id"]
    for member in objects["members"]:
        assert set(member["metadata"].get("services", [])) <= set(SERVICE_BY_ID)


def measured(world, alert, at):
    """What an alert compares, from the answer of metric.query alone."""
    labels = alert["fields"]["labels"]
    filters = [{"label": k, "operator": "=", "value": v} for k, v in labels.items()]
    (one,) = series(
        world,
        alert["fields"]["metric"],
        expression={"filters": filters},
        start=text(at - minutes(5)),
        end=text(at),
        step=300,
    )
    before, now = (point["value"] for point in one["points"])
    if alert["fields"]["measure"] == "value":
        return now
    assert now >= before, "no reset lies between"
    return (now - before) / 300


@pytest.mark.case("demo", 3)
@pytest.mark.parametrize("alert_id", [alert.id for alert in ALERTS])
def test_an_alert_fired_when_its_metric_crossed_the_threshold(world, alert_id):
    alert = world.call("alert.get", {"id": alert_id})
    fired = moment_of(alert["createdAt"])

    def bad(value):
        above = value > alert["fields"]["threshold"]
        return above if alert["fields"]["comparison"] == ">" else not above

    assert bad(measured(world, alert, fired))
    assert not bad(measured(world, alert, fired - minutes(15)))


@pytest.mark.case("demo", 4)
def test_the_cause_comes_before_the_alert_and_the_alert_before_the_incident(objects):
    services = by_id(objects, "service.query")
    deployments, alerts = by_id(objects, "deployment.query"), by_id(objects, "alert.query")

    def reaches(service, wanted):
        below = services[service]["metadata"]["dependencies"]
        return service == wanted or any(reaches(other, wanted) for other in below)

    looked_at = 0
    for incident in objects["incident.query"]:
        deployment_id = incident["fields"].get("deploymentId")
        if not deployment_id:
            continue
        looked_at += 1
        deployment = deployments[deployment_id]
        assert reaches(deployment["service"], incident["service"])
        fired = min(moment_of(alerts[a]["createdAt"]) for a in incident["fields"]["alertIds"])
        assert moment_of(deployment["finishedAt"]) < fired
        assert fired < moment_of(incident["createdAt"])
    assert looked_at == 9


def error_share(world, service, begin_min, end_min):
    view = world.provider("log.query").state()
    with view.read() as connection:
        here = view.world(connection, world.now)
    entries = all_logs(
        here,
        ANCHOR - minutes(begin_min),
        ANCHOR - minutes(end_min),
        scope={"service": service, "environment": "prod"},
    )
    assert len(entries) > 100
    return sum(entry["severity"] in ("error", "critical") for entry in entries) / len(entries)


def demos(tmp_path):
    """Worlds of several seeds, whose anchors lie at busy and quiet hours and on a weekend."""
    for number, anchor in enumerate(
        ("2026-01-14T15:30:00Z", "2026-03-01T03:05:00Z", "2025-07-19T22:00:00Z")
    ):
        folder = tmp_path / str(number)
        yield Demo(folder, moment_of(anchor), anchor=anchor, seed=f"seed-{number}")


@pytest.mark.case("demo", 5)
@pytest.mark.parametrize("scenario", SCENARIOS[:3], ids=lambda item: item.id)
def test_errors_are_at_least_three_times_as_frequent_within_an_anomaly(tmp_path, scenario):
    """Of S1 to S3: in the hour before S4 lies S3."""
    begin, end = scenario.begins_min, max(0, scenario.ends_min or 0)
    for demo in demos(tmp_path):
        late = (demo.now - ANCHOR).total_seconds() / 60
        within = error_share(demo, scenario.service, begin - late, end - late)
        before = error_share(demo, scenario.service, begin + 60 - late, begin - late)
        assert within >= 3 * before
        assert within > 0.05


@pytest.mark.case("demo", 3)
def test_alerts_hold_at_any_hour_and_with_any_seed(tmp_path):
    for demo in demos(tmp_path):
        for item in demo.call("alert.query"):
            fired = moment_of(item["createdAt"])
            wanted = item["fields"]["comparison"] == ">"
            at_fired = measured(demo, item, fired) > item["fields"]["threshold"]
            before = measured(demo, item, fired - minutes(15)) > item["fields"]["threshold"]
            assert (before, at_fired) == (not wanted, wanted), (demo.now, item["id"])


@pytest.mark.case("demo", 6)
def test_ids_named_in_fields_resolve_and_point_back(objects):
    incidents, alerts = by_id(objects, "incident.query"), by_id(objects, "alert.query")
    tickets, runs = by_id(objects, "ticket.query"), by_id(objects, "orchestration.runs.query")
    deployments, plans = by_id(objects, "deployment.query"), by_id(objects, LISTS[6])
    for incident in incidents.values():
        fields = incident["fields"]
        for key, others in (("alertIds", alerts), ("ticketIds", tickets), ("runIds", runs)):
            for other in fields.get(key, []):
                assert others[other]["fields"]["incidentId"] == incident["id"]
        if "deploymentId" in fields:
            assert incident["id"] in deployments[fields["deploymentId"]]["fields"]["incidentIds"]
    for key, others in (("alertIds", alerts), ("ticketIds", tickets), ("runIds", runs)):
        for other in others.values():
            incident_id = other["fields"].get("incidentId")
            if incident_id:
                assert other["id"] in incidents[incident_id]["fields"][key]
    for deployment in deployments.values():
        fields = deployment["fields"]
        assert {
            tickets[t]["fields"]["incidentId"] for t in fields.get("relatedTickets", [])
        } <= set(fields.get("incidentIds", []))
        for run in fields.get("runIds", []):
            assert runs[run]["fields"]["deploymentId"] == deployment["id"]
        if "rollbackOf" in fields:
            assert deployments[fields["rollbackOf"]]["service"] == deployment["service"]
    for run in runs.values():
        assert run["planId"] in plans
    assert len(runs) == 5


@pytest.mark.case("demo", 7)
@pytest.mark.parametrize(
    "name", ["http_requests_total", "db_connections_active", "http_request_duration_seconds"]
)
def test_two_windows_and_two_steps_agree_at_the_instants_they_share(world, name):
    def points(**window):
        return {
            (tuple(one["labels"].items()), point["timestamp"]): point["value"]
            for one in series(world, name, **window)
            for point in one["points"]
        }

    wide = points(start=text(ANCHOR - minutes(2000)), end=text(ANCHOR - minutes(20)), step=300)
    fine = points(start=text(ANCHOR - minutes(90)), end=text(ANCHOR), step=60)
    shared = wide.keys() & fine.keys()
    assert len(shared) >= 15 * 10
    assert all(wide[key] == fine[key] for key in shared)


@pytest.mark.case("demo", 7)
def test_two_windows_have_equal_log_lines(world):
    def lines(begin, end):
        window = {"start": text(ANCHOR - minutes(begin)), "end": text(ANCHOR - minutes(end))}
        entries = world.call("log.query", {**window, "limit": 1000})["entries"]
        return {entry["metadata"]["id"]: entry for entry in entries}

    one, other = lines(40, 36.5), lines(38, 36)
    shared = one.keys() & other.keys()
    assert len(shared) > 100
    assert all(one[key] == other[key] for key in shared)


@pytest.mark.case("demo", 8)
def test_counters_never_fall_but_at_a_reset_and_ratios_stay_within_bounds(world):
    window = {"start": text(ANCHOR - minutes(60 * 24 * 4)), "end": text(ANCHOR), "step": 1800}
    looked_at = collections.Counter()
    for described in world.call("metric.describe"):
        for one in series(world, described["name"], **window):
            values = [point["value"] for point in one["points"]]
            looked_at[described["type"]] += 1
            assert all(value >= 0 for value in values)
            if described["unit"] == "ratio":
                assert all(0 <= value <= 1 for value in values)
            if described["type"] == "counter":
                resets = [moment_of(at) for at in one["metadata"]["resets"]]
                assert any(at.weekday() == 0 and at.hour == 0 for at in resets)
                for before, after in itertools.pairwise(one["points"]):
                    begin, end = moment_of(before["timestamp"]), moment_of(after["timestamp"])
                    if not any(begin < at <= end for at in resets):
                        assert after["value"] >= before["value"]
    assert looked_at["counter"] > 300
    assert looked_at["gauge"] > 200


@pytest.mark.case("demo", 9)
def test_a_trace_spans_at_least_three_services_in_rising_time(world):
    window = {"start": text(ANCHOR - minutes(9)), "end": text(ANCHOR - minutes(4)), "limit": 1000}
    entries = world.call("log.query", window)["entries"]
    traces = {e["fields"]["traceId"] for e in entries if "traceId" in e["fields"]}
    assert len(traces) > 50
    for trace in traces:
        lines = world.call("log.query", {"metadata": {"traceId": trace}})["entries"]
        times = [moment_of(line["timestamp"]) for line in reversed(lines)]
        assert len({line["service"] for line in lines}) >= 3
        assert all(a < b for a, b in itertools.pairwise(times))


@pytest.mark.case("demo", 10)
def test_ten_minutes_after_an_incident_is_resolved_its_anomaly_is_gone(tmp_path):
    demo = Demo(tmp_path / "data")
    asked = {
        "expression": {"filters": [{"label": "quantile", "operator": "=", "value": "0.95"}]},
        "scope": {"service": "svc-checkout", "environment": "prod"},
    }
    scenario = {"metadata": {"scenarioId": "slo-exhaustion"}}
    name = "http_request_duration_seconds"
    (slow,) = series(demo, name, **asked)
    assert slow["points"][-1]["value"] > 1.3
    assert demo.call("log.query", scenario)["entries"]
    demo.call("incident.update", {"id": "inc-scenario-001", "input": {"status": "resolved"}})
    demo.now = ANCHOR + minutes(5)
    (halfway,) = series(demo, name, **asked)
    assert 0.5 < halfway["points"][-1]["value"] < 1.3
    demo.now = ANCHOR + minutes(10)
    (base,) = series(demo, name, **asked, metadata={"baseline": True})[:1]
    assert base["points"][-1]["value"] == pytest.approx(0.35, rel=0.1)
    (plain, calm) = series(demo, name, **asked, metadata={"baseline": True})
    assert plain["points"][-1]["value"] == calm["points"][-1]["value"]
    assert demo.call("alert.get", {"id": "al-scenario-001"})["status"] == "resolved"
    demo.now = ANCHOR + minutes(15)
    since = {"start": text(ANCHOR + minutes(10.2))}
    assert demo.call("log.query", {**scenario, **since})["entries"] == []
    # The others go on.
    other = {"metadata": {"scenarioId": "cascading-failure"}, **since}
    assert demo.call("log.query", other)["entries"]


@pytest.mark.case("demo", 15)
def test_every_filter_of_services_and_teams_narrows_to_what_it_says(world, objects):
    services, teams = objects["service.query"], objects["team.query"]
    asked = [
        ("service.query", {"ids": ["svc-web", "SVC-cache"]}, lambda s: s["id"][4:] in "web cache"),
        ("service.query", {"name": "ORD"}, lambda s: s["id"] == "svc-order"),
        ("service.query", {"tags": {"tier": "infra"}}, lambda s: s["tags"]["tier"] == "infra"),
        (
            "service.query",
            {"tags": {"language": "go"}, "scope": {"team": "team-atlas"}},
            lambda s: s["id"] == "svc-catalog",
        ),
        ("service.query", {"scope": {"environment": "qa"}}, lambda s: False),
        ("service.query", {"metadata": {"oncall": "kim"}}, lambda s: s["tags"]["owner"] == KIMS),
        ("team.query", {"name": "lum"}, lambda t: t["id"] == "team-lumen"),
        ("team.query", {"scope": {"service": "svc-order"}}, lambda t: t["id"] == KIMS),
        ("team.query", {"scope": {"team": "team-nova"}}, lambda t: t["id"] == "team-nova"),
        ("team.query", {"tags": {"type": "department"}}, lambda t: t["id"] == "engineering"),
    ]
    for method, payload, fits in asked:
        everything = services if method == "service.query" else teams
        expected = [item for item in everything if fits(item)]
        assert world.call(method, payload) == expected, payload
        assert len(expected) < len(everything)


KIMS = "team-velocity"

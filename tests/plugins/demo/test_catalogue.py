"""The catalogue holds together: who owns what, who depends on whom, what names what."""

import pytest

from opsorch_plugins.demo.catalogue import (
    ALERT_BY_ID,
    ALERTS,
    DAY,
    DEPLOYMENT_BY_ID,
    DEPLOYMENTS,
    EFFECTS,
    INCIDENT_BY_ID,
    INCIDENTS,
    MEMBERS,
    ROBOTS,
    SCENARIO_BY_ID,
    SCENARIOS,
    SERVICE_BY_ID,
    SERVICES,
    TEAM_BY_ID,
    TEAMS,
    TICKETS,
    alerts_of,
    releases_of,
    services_of,
    team_of,
    tickets_of,
    version_at,
)

HANDLES = {member.handle for member in MEMBERS}


def dependants_of(service_id):
    """Every service that depends on one, directly or through others, and itself."""
    found, before = {service_id}, set()
    while found != before:
        before = set(found)
        found |= {s.id for s in SERVICES if found & set(s.depends_on)}
    return found


def test_the_world_has_the_documented_numbers_of_everything():
    counts = [len(SERVICES), len(TEAMS), len(DEPLOYMENTS), len(ALERTS), len(INCIDENTS)]
    assert counts == [19, 14, 16, 20, 18]
    assert (len(MEMBERS), len(SCENARIOS), len(TICKETS)) == (29, 6, 16)


@pytest.mark.parametrize(
    "table", [SERVICES, TEAMS, DEPLOYMENTS, ALERTS, INCIDENTS, SCENARIOS, TICKETS, MEMBERS]
)
def test_ids_are_unique(table):
    ids = [item.id for item in table]
    assert len(ids) == len(set(ids))


def test_dependencies_exist_and_form_no_cycle():
    for service in SERVICES:
        assert set(service.depends_on) <= set(SERVICE_BY_ID), service.id
        for below in service.depends_on:
            assert below not in dependants_of(service.id) or below == service.id, service.id
            assert service.id not in SERVICE_BY_ID[below].depends_on
    order, placed = [], set()
    while len(placed) < len(SERVICES):
        free = [s.id for s in SERVICES if s.id not in placed and set(s.depends_on) <= placed]
        assert free, "the rest forms a cycle"
        placed |= set(free)
        order += free


def test_every_child_team_has_an_owner_and_someone_on_call():
    for team in TEAMS:
        roles = [member.role for member in MEMBERS if member.team == team.id]
        if team.kind == "team":
            assert team.parent == "engineering"
            assert (roles.count("owner"), roles.count("oncall")) == (1, 1), team.id
        else:
            assert (team.id, team.parent, roles) == ("engineering", "", ["owner"])


def test_every_person_named_anywhere_exists():
    people = HANDLES | set(ROBOTS)
    actors = {entry.actor for incident in INCIDENTS for entry in incident.timeline}
    actors |= {deployment.actor for deployment in DEPLOYMENTS}
    assert actors <= people
    assert {name for ticket in TICKETS for name in (*ticket.assignees, ticket.reporter)} <= HANDLES


def test_every_service_team_and_owner_named_anywhere_exists():
    for table in (DEPLOYMENTS, ALERTS, INCIDENTS, SCENARIOS, TICKETS, EFFECTS):
        assert {item.service for item in table} <= set(SERVICE_BY_ID)
    assert {service.owner for service in SERVICES} <= set(TEAM_BY_ID)
    assert {member.team for member in MEMBERS} == set(TEAM_BY_ID)
    assert {s for team in TEAMS for s in services_of(team.id)} == set(SERVICE_BY_ID)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: item.id)
def test_a_thread_names_its_objects_and_they_name_it(scenario):
    incident = INCIDENT_BY_ID[scenario.incident_id]
    assert incident.scenario_id == scenario.id
    assert incident.deployment_id == scenario.deployment_id
    assert incident.run_ids == scenario.run_ids
    assert set(alerts_of(incident.id)) == set(scenario.alert_ids)
    assert tickets_of(incident.id) == (scenario.ticket_id,)
    for alert_id in scenario.alert_ids:
        assert ALERT_BY_ID[alert_id].scenario_id == scenario.id
        assert ALERT_BY_ID[alert_id].begins_min == scenario.begins_min
    if scenario.deployment_id:
        cause = DEPLOYMENT_BY_ID[scenario.deployment_id]
        assert cause.scenario_id == scenario.id
        assert scenario.incident_id in cause.incident_ids


def test_deployments_and_incidents_name_each_other():
    for incident in INCIDENTS:
        if incident.deployment_id:
            assert incident.id in DEPLOYMENT_BY_ID[incident.deployment_id].incident_ids
    for deployment in DEPLOYMENTS:
        assert set(deployment.incident_ids) <= set(INCIDENT_BY_ID)
        assert deployment.scenario_id in {"", *SCENARIO_BY_ID}
        assert deployment.rollback_of in {"", *DEPLOYMENT_BY_ID}


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda item: item.id)
def test_a_timeline_is_in_order_and_within_the_incident(incident):
    times = [entry.at_min for entry in incident.timeline]
    assert 3 <= len(times) <= 6
    assert times == sorted(times, reverse=True)
    assert times[0] == incident.opened_min
    assert times[-1] >= 0
    fired = alerts_of(incident.id)
    if fired:
        assert any(alert in incident.timeline[0].body for alert in fired)
    if incident.status in ("resolved", "closed"):
        assert incident.timeline[-1].kind == "status_change"
        assert incident.resolved_min is not None
        assert incident.resolved_min in times
    else:
        assert incident.resolved_min is None
    changes = [entry for entry in incident.timeline if entry.kind == "status_change"]
    final = changes[-1].body if changes else "to open."
    assert final.endswith(f"to {incident.status}.")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda item: item.id)
def test_an_alert_lies_between_base_and_peak_of_its_effect(alert):
    """The threshold leaves at least a tenth of the way to either side."""
    cause = alert.scenario_id or alert.id
    own = [
        effect
        for effect in EFFECTS
        if (effect.cause, effect.service, effect.metric) == (cause, alert.service, alert.metric)
        and set(effect.labels) <= set(alert.labels)
    ]
    if alert.metric == "certificate_expiry_days":
        assert not own
        return
    (effect,) = own
    good, bad = effect.base, effect.peak
    share = (alert.threshold - good) / (bad - good)
    assert 0.1 <= share <= 0.92
    assert (bad > alert.threshold) == (alert.comparison == ">")


def test_every_effect_has_a_cause_and_one_base():
    bases = {}
    for effect in EFFECTS:
        assert effect.cause in {*SCENARIO_BY_ID, *ALERT_BY_ID}
        key = (effect.service, effect.metric, effect.labels, effect.mode)
        assert bases.setdefault(key, effect.base) == effect.base


def test_the_version_at_the_anchor_is_the_documented_one():
    for service in SERVICES:
        assert version_at(service.id, 0) == service.version, service.id


def test_versions_follow_the_deployments():
    assert [version_at("svc-payments", at) for at in (100, 94, 93, 60, 57, 0)] == [
        "v2.8.2",
        "v2.8.2",
        "v2.8.3",
        "v2.8.3",
        "v2.8.2",
        "v2.8.2",
    ]
    assert version_at("svc-checkout", 2 * DAY) == "v2.31.2"
    assert version_at("svc-checkout", -6) == "v2.31.3"
    assert version_at("svc-catalog", -18) == "v3.14.2"
    assert version_at("svc-search", 0) == "v1.8.2", "a failed staging deployment changes nothing"
    assert version_at("svc-identity", 0, "staging") == "v1.5.0-rc1"
    assert [item.id for item in releases_of("svc-checkout")] == [
        "deploy-001",
        "deploy-003",
        "deploy-004",
    ]


@pytest.mark.case("demo", 4)
@pytest.mark.parametrize(
    "incident", [item for item in INCIDENTS if item.deployment_id], ids=lambda item: item.id
)
def test_the_cause_comes_before_the_alert_and_the_alert_before_the_incident(incident):
    """A deployment of the service or a dependant ended before the first alert fired."""
    deployment = DEPLOYMENT_BY_ID[incident.deployment_id]
    assert deployment.service in dependants_of(incident.service)
    fired = [alert.fires_min for alert in ALERTS if alert.incident_id == incident.id]
    assert fired
    assert deployment.finished_min > max(fired) > incident.opened_min


def test_the_owner_of_an_unknown_service_is_nobody():
    assert team_of("svc-nothing") == ""

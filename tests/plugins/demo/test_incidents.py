"""Incidents and timelines: what queries find, what create and update write."""

import pytest

from opsorch.errors import BadRequest, NotFound
from tests.plugins.demo.support import ANCHOR, Demo, minutes, text

SEEDED = "inc-scenario-001"


def test_query_lists_all_the_newest_first_and_equal_times_by_id(demo):
    found = demo.call("incident.query")
    assert len(found) == 18
    assert [item["id"] for item in found[:3]] == [
        "inc-scenario-006",
        "inc-scenario-005",
        "inc-scenario-004",
    ]
    times = [item["createdAt"] for item in found]
    assert times == sorted(times, reverse=True)
    twins = [demo.call("incident.create", {"title": "twin"})["id"] for _ in range(3)]
    assert demo.ids("incident.query", {"limit": 3}) == twins, "equal times are in order of ids"


def test_a_seeded_incident_has_everything_the_thread_names(demo):
    incident = demo.call("incident.get", {"id": SEEDED})
    assert incident == {
        "id": SEEDED,
        "title": "Checkout burns its error budget",
        "description": incident["description"],
        "status": "mitigating",
        "severity": "sev1",
        "service": "svc-checkout",
        "url": f"https://demo.opsorch.example/incident/{SEEDED}",
        "createdAt": text(ANCHOR - minutes(45)),
        "updatedAt": text(ANCHOR - minutes(3)),
        "fields": {
            "team": "team-velocity",
            "environment": "prod",
            "channel": "#checkout",
            "alertIds": ["al-001", "al-scenario-001"],
            "ticketIds": ["TCK-SCENARIO-001"],
            "runIds": ["run-scenario-001"],
            "deploymentId": "deploy-003",
            "scenarioId": "slo-exhaustion",
            "scenarioName": "SLO exhaustion",
        },
        "metadata": {"isScenario": True, "source": "demo"},
    }


def test_create_fills_in_status_severity_team_and_environment(demo):
    created = demo.call(
        "incident.create", {"title": " Slow ", "service": "svc-search"}, actor="lena"
    )
    assert created["id"] == "inc-101"
    assert (created["title"], created["status"], created["severity"]) == ("Slow", "open", "sev3")
    assert created["fields"] == {"team": "team-aurora", "environment": "prod"}
    assert created["createdAt"] == created["updatedAt"] == text(ANCHOR)
    assert demo.call("incident.get", {"id": "inc-101"}) == created
    (entry,) = demo.call("incident.timeline.get", {"id": "inc-101"})
    assert (entry["id"], entry["kind"], entry["actor"]) == (
        "inc-101-t1",
        "created",
        {"id": "lena", "name": "Lena Fischer"},
    )
    assert entry["at"] == text(ANCHOR)


def test_create_keeps_what_is_given(demo):
    given = {
        "title": "t",
        "description": "d",
        "status": "Mitigating",
        "severity": "SEV1",
        "service": "svc-elsewhere",
        "fields": {"team": "team-x", "n": 1.0, "deep": {"a": [None, True]}, "none": None},
        "metadata": {"k": 2**60, "source": "caller"},
    }
    created = demo.call("incident.create", given)
    assert (created["status"], created["severity"]) == ("mitigating", "sev1")
    assert created["fields"] == given["fields"], "an unknown service has no team to fill in"
    assert created["metadata"] == {"k": 2**60, "source": "demo"}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({}, "title is required"),
        ({"title": "  "}, "title is required"),
        ({"title": 1}, "title must be a string"),
        ({"title": "t", "status": "triggered"}, "status: 'triggered' is unknown; use one of"),
        ({"title": "t", "severity": "critical"}, "severity: .* use one of sev1, sev2, sev3, sev4"),
        ({"title": "t", "fields": []}, "fields must be an object"),
        ({"title": "t", "metadata": "x"}, "metadata must be an object"),
    ],
)
def test_create_refuses_what_does_not_fit_by_name(demo, payload, message):
    with pytest.raises(BadRequest, match=message):
        demo.call("incident.create", payload)
    assert len(demo.ids("incident.query")) == 18, "nothing is written"


def test_update_merges_bags_key_by_key_and_null_removes_a_key(demo):
    before = demo.call("incident.get", {"id": SEEDED})
    given = {"fields": {"runIds": None, "impact": "high"}, "metadata": {"isScenario": None, "x": 1}}
    after = demo.call("incident.update", {"id": SEEDED, "input": given})
    expected = {**before["fields"], "impact": "high"}
    del expected["runIds"]
    assert after["fields"] == expected
    assert after["metadata"] == {"x": 1, "source": "demo"}
    assert demo.ids("incident.query", {"scope": {"team": "team-velocity"}, "query": "impact"}) == []
    assert SEEDED in demo.ids("incident.query", {"scope": {"team": "team-velocity"}})
    unchanged = ("title", "description", "status", "severity", "service", "createdAt", "url")
    assert {key: after[key] for key in unchanged} == {key: before[key] for key in unchanged}


def test_update_changes_only_what_is_given(demo):
    given = {"title": "New", "description": "", "severity": None}
    after = demo.call("incident.update", {"id": SEEDED, "input": given})
    assert after["title"] == "New"
    assert "description" not in after
    assert (after["severity"], after["status"]) == ("sev1", "mitigating")


def test_a_changed_status_or_severity_adds_an_entry_and_an_equal_one_none(demo):
    before = demo.call("incident.timeline.get", {"id": SEEDED})
    changes = {"status": "monitoring", "severity": "sev2"}
    demo.call("incident.update", {"id": SEEDED, "input": changes}, actor="kim")
    demo.call("incident.update", {"id": SEEDED, "input": changes}, actor="kim")
    added = demo.call("incident.timeline.get", {"id": SEEDED})[len(before) :]
    assert [(e["kind"], e["body"], e["actor"]["id"]) for e in added] == [
        ("status_change", "Status changed from mitigating to monitoring.", "kim"),
        ("severity_change", "Severity changed from sev1 to sev2.", "kim"),
    ]


def test_entering_resolved_stamps_the_time_and_leaving_it_takes_it_away(demo):
    def update(status):
        demo.now += minutes(1)
        return demo.call("incident.update", {"id": SEEDED, "input": {"status": status}})

    assert update("resolved")["fields"]["resolvedAt"] == text(ANCHOR + minutes(1))
    assert update("closed")["fields"]["resolvedAt"] == text(ANCHOR + minutes(1))
    assert "resolvedAt" not in update("investigating")["fields"]
    assert update("closed")["fields"]["resolvedAt"] == text(ANCHOR + minutes(4))


def test_created_as_resolved_is_stamped_and_no_caller_sets_the_stamp(demo):
    given = {"title": "t", "status": "closed", "fields": {"resolvedAt": "long ago"}}
    assert demo.call("incident.create", given)["fields"] == {"resolvedAt": text(ANCHOR)}
    given = {"title": "t", "fields": {"resolvedAt": "long ago"}}
    assert "fields" not in demo.call("incident.create", given)


def test_updated_at_strictly_increases_even_when_the_clock_stands_still_or_goes_back(demo):
    times = []
    for step in (0, 0, -60, 5):
        demo.now = ANCHOR + minutes(step)
        times.append(demo.call("incident.update", {"id": SEEDED, "input": {}})["updatedAt"])
    assert [t.replace("Z", "") for t in times] == sorted({t.replace("Z", "") for t in times})


def test_a_moved_incident_gets_the_team_of_its_new_service(demo):
    given = {"service": "svc-search"}
    after = demo.call("incident.update", {"id": SEEDED, "input": given})
    assert (after["service"], after["fields"]["team"]) == ("svc-search", "team-aurora")
    given = {"service": "svc-web", "fields": {"team": "team-nova"}}
    after = demo.call("incident.update", {"id": SEEDED, "input": given})
    assert after["fields"]["team"] == "team-nova"


def test_timeline_append_defaults_kind_time_and_actor(demo):
    demo.now = ANCHOR + minutes(2)
    answer = demo.call(
        "incident.timeline.append", {"id": "inc-001", "entry": {"body": "b"}}, actor="kim"
    )
    assert answer == {"status": "ok"}
    entry = demo.call("incident.timeline.get", {"id": "inc-001"})[-1]
    assert entry == {
        "id": "inc-001-t5",
        "incidentId": "inc-001",
        "at": text(ANCHOR + minutes(2)),
        "kind": "note",
        "body": "b",
        "actor": {"id": "kim", "name": "Kim Tran"},
        "metadata": {"source": "demo"},
    }


def test_timeline_append_keeps_what_is_given_and_sorts_by_time(demo):
    entry = {
        "at": "2020-02-03T04:05:06.5+02:00",
        "kind": "call",
        "body": "x",
        "actor": {"id": "zoe"},
        "metadata": {"a": 1},
    }
    demo.call("incident.timeline.append", {"id": "inc-001", "input": entry}, actor="kim")
    first = demo.call("incident.timeline.get", {"id": "inc-001"})[0]
    assert (first["at"], first["kind"], first["actor"]) == (
        "2020-02-03T02:05:06.5Z",
        "call",
        {"id": "zoe"},
    )
    assert first["metadata"] == {"a": 1, "source": "demo"}


def test_entries_of_one_instant_stay_in_the_order_of_writing(demo):
    incident = demo.call("incident.create", {"title": "t"})["id"]
    for number in range(12):
        entry = {"body": str(number)}
        demo.call("incident.timeline.append", {"id": incident, "entry": entry})
    bodies = [e["body"] for e in demo.call("incident.timeline.get", {"id": incident})][1:]
    assert bodies == [str(number) for number in range(12)]


@pytest.mark.parametrize(
    ("method", "payload"),
    [
        ("incident.get", {"id": "inc-999"}),
        ("incident.update", {"id": "inc-999", "input": {"title": "x"}}),
        ("incident.timeline.get", {"id": "inc-999"}),
        ("incident.timeline.append", {"id": "inc-999", "entry": {"body": "x"}}),
    ],
)
def test_an_unknown_incident_is_not_found_by_id(demo, method, payload):
    with pytest.raises(NotFound, match="incident inc-999 not found"):
        demo.call(method, payload)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"status": ""}, "status"),
        ({"status": "done"}, "status: 'done' is unknown; use one of closed, identified"),
        ({"severity": "high"}, "severity"),
        ({"title": 5}, "title must be a string"),
        ({"fields": 5}, "fields must be an object"),
    ],
)
def test_update_refuses_what_does_not_fit_and_writes_nothing(demo, given, message):
    before = demo.call("incident.get", {"id": SEEDED})
    with pytest.raises(BadRequest, match=message):
        demo.call("incident.update", {"id": SEEDED, "input": given})
    assert demo.call("incident.get", {"id": SEEDED}) == before


def test_the_configured_source_and_environment_are_everywhere(tmp_path):

    demo = Demo(tmp_path / "other", source="lab", environment="live")
    for method in ("incident.query", "alert.query", "ticket.query", "deployment.query"):
        for item in demo.call(method):
            assert item["metadata"]["source"] == "lab"
            place = item if method == "deployment.query" else item["fields"]
            assert place["environment"] in ("live", "staging")

"""Every query field, alone and with others, against a filter that shares no code with ours."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsorch.errors import BadRequest
from tests.plugins.demo.support import Demo, minutes

SERVICES = ["svc-checkout", "svc-payments", "svc-search", "svc-web", "svc-none"]
TEAMS = ["team-velocity", "team-revenue", "team-aurora", "team-none"]
QUERIES = [
    "",
    "checkout",
    "STRIPE",
    "slow the",
    "team-revenue",
    "nothing-like-it",
    "v2",
    "%",
    "inc",
]
SCOPE = {
    "service": st.sampled_from(SERVICES),
    "team": st.sampled_from(TEAMS),
    "environment": st.sampled_from(["prod", "staging", "qa"]),
}
LIMITS = st.sampled_from([0, 1, 2, 5, 1000])

# Values for each field of each query; a few match nothing.
FIELDS = {
    "incident.query": {
        "query": st.sampled_from(QUERIES),
        "statuses": st.lists(
            st.sampled_from(["open", "Resolved", "MONITORING", "closed", "triggered"])
        ),
        "severities": st.lists(st.sampled_from(["sev1", "SEV2", "sev3", "critical"])),
        "metadata": st.sampled_from(
            [
                {},
                {"isScenario": True},
                {"scenarioId": "slo-exhaustion"},
                {"deploymentId": "deploy-001", "nothing": None},
                {"alertIds": ["al-002"]},
                {"source": "demo", "channel": "#checkout"},
                {"isScenario": "true"},
            ]
        ),
    },
    "alert.query": {
        "query": st.sampled_from(QUERIES),
        "statuses": st.lists(st.sampled_from(["FIRING", "resolved", "acknowledged", "open"])),
        "severities": st.lists(st.sampled_from(["critical", "Error", "sev1", "info"])),
        "metadata": st.sampled_from(
            [{}, {"isScenario": True}, {"comparison": "<"}, {"threshold": 90}, {"x": 1}]
        ),
    },
    "ticket.query": {
        "query": st.sampled_from(QUERIES),
        "statuses": st.lists(st.sampled_from(["todo", "In_Review", "done", "open"])),
        "assignees": st.lists(st.sampled_from(["jordan", "KIM", "milo", "nobody"])),
        "reporter": st.sampled_from(["", "taylor", "Taylor", "jamie"]),
        "metadata": st.sampled_from(
            [{}, {"isScenario": True}, {"priority": "high"}, {"incidentId": "inc-001"}]
        ),
    },
    "deployment.query": {
        "query": st.sampled_from(QUERIES),
        "statuses": st.lists(st.sampled_from(["success", "Running", "queued", "done"])),
        "versions": st.lists(st.sampled_from(["v2.31.3", "v2.8.3", "V2.8.3", "v1.8.2"])),
        "metadata": st.sampled_from(
            [{}, {"isScenario": True}, {"strategy": "canary"}, {"rollbackOf": "deploy-003"}]
        ),
    },
}
ORDER = {
    "incident.query": "createdAt",
    "alert.query": "createdAt",
    "ticket.query": "updatedAt",
    "deployment.query": "startedAt",
}


def payloads(method):
    scope = st.fixed_dictionaries({}, optional=SCOPE)
    fields = {**FIELDS[method], "scope": scope, "limit": LIMITS}
    return st.fixed_dictionaries({}, optional=fields)


def strings_within(value):
    """Every string of a JSON value but the keys."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value
    return [s for v in inner for s in strings_within(v)] if isinstance(value, (dict, list)) else []


def fits(item, payload):
    """The rules of the specification, read literally."""
    fields, metadata = item.get("fields", {}), item.get("metadata", {})
    texts = [item.get(key, "") for key in ("id", "title", "description", "service")]
    texts += strings_within(fields)
    for word in payload.get("query", "").lower().split():
        if not any(word in text.lower() for text in texts):
            return False
    for name, key in (("statuses", "status"), ("severities", "severity")):
        wanted = payload.get(name)
        if wanted and item.get(key, "").lower() not in [word.lower() for word in wanted]:
            return False
    wanted = [name.lower() for name in payload.get("assignees", [])]
    if wanted and not any(name.lower() in wanted for name in item.get("assignees", [])):
        return False
    if payload.get("reporter") and item.get("reporter") != payload["reporter"]:
        return False
    if payload.get("versions") and item.get("version") not in payload["versions"]:
        return False
    for part, wanted in payload.get("scope", {}).items():
        if wanted not in (item.get(part), fields.get(part)):
            return False
    for key, value in payload.get("metadata", {}).items():
        if value is None:
            continue
        known = [json.dumps(bag[key]) for bag in (fields, metadata) if key in bag]
        if json.dumps(value) not in known:
            return False
    return True


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory):
    """A world in which things have happened since it was seeded."""
    demo = Demo(tmp_path_factory.mktemp("lived-in"))
    for number in range(30):
        demo.now += minutes(number % 3)
        service = SERVICES[number % len(SERVICES)]
        given = {"title": f"Checkout {number}", "service": service, "fields": {"n": [f"v{number}"]}}
        demo.call("incident.create", {**given, "severity": f"sev{number % 4 + 1}"})
        demo.call("ticket.create", {**given, "assignees": ["kim"], "reporter": "taylor"})
    demo.call("incident.update", {"id": "inc-101", "input": {"status": "resolved"}})
    return demo


@pytest.mark.case("demo", 15)
@pytest.mark.parametrize("method", FIELDS)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_queries_find_exactly_what_the_rules_say(lived_in, method, data):
    """Fields alone and combined, checked against rules written out independently."""
    payload = data.draw(payloads(method))
    everything = lived_in.call(method, {"limit": 1000})
    expected = [item for item in everything if fits(item, payload)]
    assert lived_in.call(method, payload) == expected[: payload.get("limit") or 100]


@pytest.mark.case("demo", 15)
@pytest.mark.parametrize("method", FIELDS)
def test_each_value_of_each_field_alone(lived_in, method):
    """No field is ignored: each has a value that narrows the result."""
    everything = lived_in.call(method, {"limit": 1000})
    values = {
        "query": ["checkout"],
        "statuses": [[everything[0]["status"].upper()], ["nothing"]],
        "severities": [["critical", "sev1"]],
        "assignees": [["MILO"]],
        "reporter": ["taylor"],
        "versions": [["v2.8.3"]],
        "scope": [{"service": "svc-search"}, {"team": "team-revenue"}, {"environment": "qa"}],
        "metadata": [{"isScenario": True}],
    }
    for field in {*FIELDS[method], "scope"}:
        for value in values[field]:
            found = lived_in.call(method, {field: value, "limit": 1000})
            assert found == [item for item in everything if fits(item, {field: value})], field
            assert len(found) < len(everything), field


@pytest.mark.parametrize("method", FIELDS)
def test_the_order_is_total_and_the_same_under_any_limit(lived_in, method):
    everything = lived_in.call(method, {"limit": 1000})
    keys = [(item[ORDER[method]], item["id"]) for item in everything]
    assert keys == sorted(sorted(keys, key=lambda k: k[1]), key=lambda k: k[0], reverse=True)
    for limit in (1, 3, 7):
        assert lived_in.call(method, {"limit": limit}) == everything[:limit]


def test_the_default_limit_is_a_hundred_and_the_most_a_thousand(demo):
    for number in range(90):
        demo.call("incident.create", {"title": str(number)})
    assert len(demo.call("incident.query")) == 100
    assert len(demo.call("incident.query", {"limit": 0})) == 100
    assert len(demo.call("incident.query", {"limit": 5000})) == 108


@pytest.mark.parametrize("method", FIELDS)
@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"limit": -1}, "limit"),
        ({"limit": "1"}, "limit"),
        ({"statuses": "open"}, "statuses must be a list"),
        ({"scope": []}, "scope must be an object"),
        ({"scope": {"team": 1}}, "scope.team must be a string"),
        ({"query": 1}, "query must be a string"),
        ({"metadata": []}, "metadata must be an object"),
    ],
)
def test_a_filter_of_the_wrong_type_is_refused_by_name(demo, method, payload, message):
    with pytest.raises(BadRequest, match=message):
        demo.call(method, payload)


@pytest.mark.parametrize("method", FIELDS)
def test_null_means_not_set(lived_in, method):
    names = {*FIELDS[method], "scope", "limit"}
    assert lived_in.call(method, dict.fromkeys(names)) == lived_in.call(method)

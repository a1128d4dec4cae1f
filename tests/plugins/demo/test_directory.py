"""Services, teams and people: one directory that agrees with itself."""

import pytest

from opsorch.errors import BadRequest, NotFound
from tests.plugins.demo.support import Demo


def test_services_are_in_order_and_say_what_a_console_shows(demo):
    services = demo.call("service.query")
    ids = [item["id"] for item in services]
    assert ids == sorted(ids)
    assert len(ids) == 19
    checkout = next(item for item in services if item["id"] == "svc-checkout")
    assert checkout["name"] == "Checkout"
    assert checkout["tags"] == {
        "env": "prod",
        "tier": "backend",
        "owner": "team-velocity",
        "language": "java",
    }
    assert checkout["url"] == "https://demo.opsorch.example/service/svc-checkout"
    metadata = checkout["metadata"]
    assert metadata["dependencies"] == ["svc-order", "svc-payments", "svc-cache"]
    assert metadata["oncall"] == "kim"
    assert metadata["instances"] == ["checkout-0", "checkout-1", "checkout-2", "checkout-3"]
    assert {"description", "repository", "dashboard", "runbook", "source"} <= set(metadata)


@pytest.mark.case("demo", 2)
def test_owner_tags_and_team_services_agree_both_ways(demo):
    """The owner of a service lists it, and what a team lists it owns."""
    owned = {(s["tags"]["owner"], s["id"]) for s in demo.call("service.query")}
    listed = {(t["id"], s) for t in demo.call("team.query") for s in t["metadata"]["services"]}
    assert owned == listed


def test_teams_and_members_agree(demo):
    teams = demo.call("team.query")
    assert [team["id"] for team in teams] == sorted(team["id"] for team in teams)
    for team in teams:
        members = demo.call("team.members", {"teamID": team["id"]})
        assert team["metadata"]["memberCount"] == len(members) > 0
        assert members[0]["role"] == "owner"
        assert team["tags"]["organization"] == "demo-org"
        assert ("parent" in team) == (team["tags"]["type"] == "team")
        for member in members:
            assert member["id"] == member["email"] == f"{member['handle']}@demo.example"
            assert member["name"]
            assert member["metadata"]["services"] == team["metadata"]["services"]
            assert member["metadata"]["title"]
            assert member["metadata"]["timezone"]


def test_the_organization_is_a_tag(tmp_path):
    demo = Demo(tmp_path, organization="acme")
    assert len(demo.ids("team.query", {"tags": {"organization": "acme"}})) == 14
    assert demo.ids("team.query", {"tags": {"organization": "demo-org"}}) == []


@pytest.mark.parametrize("method", ["team.get", "team.members"])
def test_an_unknown_team_is_not_found_from_both(demo, method):
    payload = {"teamID" if method == "team.members" else "id": "team-nobody"}
    with pytest.raises(NotFound, match="team team-nobody not found"):
        demo.call(method, payload)


def test_get_answers_what_query_lists(demo):
    for team in demo.call("team.query"):
        assert demo.call("team.get", {"id": team["id"]}) == team


@pytest.mark.parametrize(
    ("method", "payload", "expected"),
    [
        ("service.query", {"ids": ["SVC-Web", "svc-none"]}, ["svc-web"]),
        ("service.query", {"name": "gate"}, ["svc-api-gateway"]),
        ("service.query", {"name": ""}, None),
        ("service.query", {"name": "FEATURE f"}, ["svc-feature-flags"]),
        ("service.query", {"tags": {"language": "rust"}}, ["svc-search"]),
        ("service.query", {"tags": {"env": "prod", "language": "rust"}}, ["svc-search"]),
        ("service.query", {"tags": {"env": "staging"}}, []),
        ("service.query", {"scope": {"team": "team-signal"}}, ["svc-notifications", "svc-workers"]),
        ("service.query", {"scope": {"service": "svc-cache"}}, ["svc-cache"]),
        ("service.query", {"scope": {"environment": "staging"}}, None),
        ("service.query", {"scope": {"environment": "qa"}}, []),
        ("service.query", {"metadata": {"oncall": "ana"}}, ["svc-notifications", "svc-workers"]),
        ("service.query", {"metadata": {"oncall": None, "x": None}}, None),
        ("service.query", {"metadata": {"nothing": "x"}}, []),
        ("service.query", {"limit": 1, "scope": {"team": "team-signal"}}, ["svc-notifications"]),
        ("team.query", {"name": "Velo"}, ["team-velocity"]),
        ("team.query", {"name": "TEAM-or"}, ["team-orion"]),
        ("team.query", {"tags": {"type": "department"}}, ["engineering"]),
        ("team.query", {"scope": {"service": "svc-payments"}}, ["team-revenue"]),
        ("team.query", {"scope": {"team": "team-data"}}, ["team-data"]),
        ("team.query", {"scope": {"team": "team-data", "service": "svc-web"}}, []),
        ("team.query", {"metadata": {"channel": "#search"}}, ["team-aurora"]),
        ("team.query", {"scope": {"environment": "qa"}}, []),
        ("team.query", {"limit": 2}, ["engineering", "team-atlas"]),
    ],
)
def test_each_filter_finds_what_it_says(demo, method, payload, expected):
    everything = demo.ids(method)
    assert demo.ids(method, payload) == (everything if expected is None else expected)


@pytest.mark.parametrize(
    ("method", "payload", "message"),
    [
        ("service.query", {"ids": "svc-web"}, "ids must be a list"),
        ("service.query", {"tags": []}, "tags must be an object"),
        ("team.query", {"name": 1}, "name must be a string"),
        ("team.get", {}, "id is required"),
        ("team.members", {"teamID": ""}, "teamID is required"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(demo, method, payload, message):
    with pytest.raises(BadRequest, match=message):
        demo.call(method, payload)

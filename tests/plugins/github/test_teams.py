"""Teams of an organization and their members."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
import requests_mock

from opsorch.errors import BadRequest, NotFound, UpstreamTimeout
from opsorch.plugin import Call
from opsorch_plugins.github.provider import GitHubTeams
from opsorch_plugins.github.teams import Profiles
from tests.fakes.github import a_team, a_user
from tests.plugins.github.support import API, TEAMS, next_link, sent

Build = Callable[..., GitHubTeams]
Json = dict[str, Any]

ORG = f"{API}/orgs/acme"


@pytest.mark.case("github", 17)
def test_names_and_tags_narrow_teams_across_pages(
    http: requests_mock.Mocker, teams_of: Build, call: Call
) -> None:
    """A part of the name or the slug is enough; of tags all must fit."""
    second = f"{API}/organizations/77/teams?page=2"
    page = [a_team(1, "core", "Core Team"), a_team(2, "web", "Web")]
    http.get(TEAMS, json=page, headers=next_link(second))
    more = [a_team(3, "hard-core", "Metal", privacy="secret"), a_team(4, "ops", "Core ops")]
    http.get(second, json=more)
    provider = teams_of()
    found = provider.query({"name": "CORE"}, call)
    assert [team["id"] for team in found] == ["core", "hard-core", "ops"]
    tags = {"privacy": "SECRET", "organization": "acme", "provider": "github", "x": None}
    assert [t["id"] for t in provider.query({"name": "core", "tags": tags}, call)] == ["hard-core"]
    assert provider.query({"tags": {"bogus": "x"}}, call) == []
    assert provider.query({"name": "nobody"}, call) == []
    assert [t["id"] for t in provider.query({"name": "core", "limit": 2}, call)] == [
        "core",
        "hard-core",
    ]


@pytest.mark.parametrize(
    ("scope", "ids"),
    [
        ({"team": "Core"}, ["core"]),
        ({"team": "the web"}, ["web"]),
        ({"team": "cor"}, []),
        ({"environment": "prod"}, ["core", "web"]),
    ],
)
def test_a_team_in_the_scope_is_the_whole_name(
    http: requests_mock.Mocker, teams_of: Build, call: Call, scope: Json, ids: list[str]
) -> None:
    """Or the whole slug; an environment says nothing about a team."""
    http.get(TEAMS, json=[a_team(1, "core", "The Core"), a_team(2, "web", "The Web")])
    assert [team["id"] for team in teams_of().query({"scope": scope}, call)] == ids


@pytest.mark.parametrize("service", ["web", "Acme/web"])
def test_a_service_has_the_teams_of_its_repository(
    http: requests_mock.Mocker, teams_of: Build, call: Call, service: str
) -> None:
    """An unknown repository has none."""
    url = f"{API}/repos/acme/web/teams"
    http.get(url, json=[a_team(1, "core", "Core")])
    payload = {"scope": {"service": service}}
    assert [team["id"] for team in teams_of().query(payload, call)] == ["core"]
    http.get(url, status_code=404, json={"message": "Not Found"})
    assert teams_of().query(payload, call) == []


@pytest.mark.parametrize("service", ["other/web", "a b", "..", "web/../x"])
def test_what_cannot_be_a_repository_has_no_teams(
    http: requests_mock.Mocker, teams_of: Build, call: Call, service: str
) -> None:
    """That costs no request."""
    assert teams_of().query({"scope": {"service": service}}, call) == []
    assert http.call_count == 0


def test_an_unknown_organization_is_not_found(
    http: requests_mock.Mocker, teams_of: Build, call: Call
) -> None:
    """An empty list would hide a wrong setting."""
    http.get(TEAMS, status_code=404)
    with pytest.raises(NotFound):
        teams_of().query({}, call)


@pytest.mark.parametrize(
    ("payload", "words"),
    [({"limit": -1}, "limit"), ({"tags": {"a": 1}}, "tags.a"), ({"name": 1}, "name")],
)
def test_what_does_not_fit_is_refused_without_a_call(
    http: requests_mock.Mocker, teams_of: Build, call: Call, payload: Json, words: str
) -> None:
    """The message names the field."""
    with pytest.raises(BadRequest, match=words):
        teams_of().query(payload, call)
    assert http.call_count == 0


def test_a_team_in_full(http: requests_mock.Mocker, teams_of: Build, call: Call) -> None:
    """Every field that a team fills; counts only where GitHub tells them."""
    parent = {"id": 9, "slug": "all"}
    team = a_team(3, "core", "Core", parent=parent, members_count=0, repos_count=4)
    http.get(f"{TEAMS}/core", json=team)
    found = teams_of().get({"id": "@acme/core"}, call)
    assert found == {
        "id": "core",
        "name": "Core",
        "parent": "all",
        "url": "https://github.test/orgs/acme/teams/core",
        "tags": {
            "provider": "github",
            "privacy": "closed",
            "permission": "pull",
            "organization": "acme",
        },
        "metadata": {
            "github_id": 3,
            "slug": "core",
            "description": "The Core",
            "privacy": "closed",
            "permission": "pull",
            "html_url": "https://github.test/orgs/acme/teams/core",
            "members_url": "https://api.github.test/teams/3/members{/member}",
            "repositories_url": "https://api.github.test/teams/3/repos",
            "members_count": 0,
            "repos_count": 4,
            "source": "github",
        },
    }
    http.get(TEAMS, json=[a_team(5, "", "No slug", parent={"id": 9}), {"name": "odd"}])
    [listed] = teams_of().query({}, call)
    assert (listed["id"], listed["parent"]) == ("5", "9")
    assert "members_count" not in listed["metadata"]


@pytest.mark.parametrize("given", ["core", "@core", "acme/core", "@ACME/core"])
def test_a_team_is_found_by_each_form_of_its_slug(
    http: requests_mock.Mocker, teams_of: Build, call: Call, given: str
) -> None:
    """As people mention it."""
    http.get(f"{TEAMS}/core", json=a_team(3, "core", "Core"))
    assert teams_of().get({"id": given}, call)["id"] == "core"


@pytest.mark.parametrize("given", ["other/core", "..", ".", "acme/", "@", "a\nb", "acme/../x"])
def test_other_ids_are_refused_without_a_call(
    http: requests_mock.Mocker, teams_of: Build, call: Call, given: str
) -> None:
    """Nothing of an id can change the path."""
    for method in (teams_of().get, teams_of().members):
        with pytest.raises(BadRequest, match="id"):
            method({"id": given}, call)
    assert http.call_count == 0


@pytest.mark.case("github", 18)
def test_a_number_is_a_slug_first_and_then_an_id(
    http: requests_mock.Mocker, teams_of: Build, call: Call
) -> None:
    """The organization's own id is asked for once."""
    http.get(f"{TEAMS}/2024", status_code=404)
    http.get(ORG, json={"login": "acme", "id": 77})
    http.get(f"{API}/organizations/77/team/2024", json=a_team(2024, "core", "Core"))
    provider = teams_of()
    assert [provider.get({"id": "2024"}, call)["id"] for _ in range(2)] == ["core", "core"]
    asked = [request.url.rsplit("/", 1)[-1] for request in http.request_history]
    assert asked == ["2024", "acme", "2024", "2024", "2024"]
    http.get(f"{TEAMS}/2024", json=a_team(1, "2024", "Class of 2024"))
    assert provider.get({"id": "2024"}, call)["name"] == "Class of 2024"


def test_a_number_that_is_neither(http: requests_mock.Mocker, teams_of: Build, call: Call) -> None:
    """It is not found, and neither is a word."""
    http.get(requests_mock.ANY, status_code=404)
    http.get(ORG, json={"id": 77})
    for given in ("2024", "core"):
        for method in (teams_of().get, teams_of().members):
            with pytest.raises(NotFound):
                method({"id": given}, call)


@pytest.mark.case("github", 19)
@pytest.mark.parametrize("name", ["teamID", "teamId", "id"])
def test_members_have_their_roles_and_profiles(
    http: requests_mock.Mocker, teams_of: Build, call: Call, name: str
) -> None:
    """Who has no readable profile is there all the same."""
    http.get(f"{TEAMS}/core/members?role=maintainer", json=[a_user("ann", site_admin=True)])
    http.get(f"{TEAMS}/core/members?role=member", json=[a_user("bob"), a_user("ann"), {"id": 1}])
    profile = {"name": "Ann Lee", "email": "ann@acme.test", "twitter_username": "ann", "bio": None}
    http.get(f"{API}/users/ann", json=a_user("ann", company="Acme", followers=0, **profile))
    http.get(f"{API}/users/bob", status_code=403, json={"message": "Forbidden"})
    ann, bob = teams_of().members({name: "core"}, call)
    assert ann == {
        "id": "ann",
        "name": "Ann Lee",
        "email": "ann@acme.test",
        "handle": "ann",
        "role": "owner",
        "metadata": {
            "github_id": a_user("ann")["id"],
            "avatar_url": "https://avatars.github.test/ann",
            "html_url": "https://github.test/ann",
            "site_admin": True,
            "type": "User",
            "company": "Acme",
            "twitter": "ann",
            "followers": 0,
        },
    }
    assert (bob["id"], bob["name"], bob["role"]) == ("bob", "bob", "member")
    assert "email" not in bob
    assert http.call_count == 4
    assert sent(http.request_history[0]) == {"role": "maintainer", "per_page": "100"}


def test_members_of_a_team_by_id(http: requests_mock.Mocker, teams_of: Build, call: Call) -> None:
    """A number that is no slug is an id."""
    http.get(f"{TEAMS}/2024/members", status_code=404)
    http.get(ORG, json={"id": 77})
    http.get(f"{API}/organizations/77/team/2024", json=a_team(2024, "core", "Core"))
    http.get(f"{TEAMS}/core/members", json=[a_user("ann")])
    found = teams_of(memberDetails=False).members({"id": "2024"}, call)
    assert [(m["id"], m["role"]) for m in found] == [("ann", "owner")]


def test_members_without_details_cost_two_requests(
    http: requests_mock.Mocker, teams_of: Build, call: Call
) -> None:
    """All pages of them, and an empty team is an empty list."""
    second = f"{TEAMS}/core/members?role=maintainer&page=2"
    http.get(f"{TEAMS}/core/members", json=[])
    http.get(f"{TEAMS}/core/members?role=member", json=[a_user("bob")], headers=next_link(second))
    http.get(second, json=[a_user("eve")])
    provider = teams_of(memberDetails=False)
    assert [m["id"] for m in provider.members({"id": "core"}, call)] == ["bob", "eve"]
    assert http.call_count == 3
    http.get(f"{TEAMS}/web/members", json=[])
    assert provider.members({"id": "web"}, call) == []


def test_profiles_are_kept_for_ten_minutes(
    http: requests_mock.Mocker, teams_of: Build, call: Call
) -> None:
    """Then they are read again."""
    clock = [1000.0]
    http.get(f"{TEAMS}/core/members", json=[a_user("ann")])
    profile = http.get(f"{API}/users/ann", json={"name": "Ann"})
    provider = teams_of()
    provider._profiles = Profiles(provider.github, clock=lambda: clock[0])
    for now, count in ((1000.0, 1), (1599.0, 1), (1601.0, 2)):
        clock[0] = now
        assert provider.members({"id": "core"}, call)[0]["name"] == "Ann"
        assert profile.call_count == count


def test_a_rate_limit_ends_the_asking_for_profiles(
    http: requests_mock.Mocker, teams_of: Build, call: Call
) -> None:
    """The members are told all the same."""
    http.get(f"{TEAMS}/core/members", json=[a_user(name) for name in ("ann", "bob", "eve")])
    http.get(f"{API}/users/ann", json={"name": "Ann"})
    http.get(f"{API}/users/bob", status_code=403, headers={"Retry-After": "900"})
    found = teams_of().members({"id": "core"}, call)
    assert [m["name"] for m in found] == ["Ann", "bob", "eve"]
    assert not [r for r in http.request_history if r.url.endswith("/eve")]


def test_at_most_a_hundred_profiles_are_read(
    http: requests_mock.Mocker, teams_of: Build, call: Call
) -> None:
    """Each is a request."""
    http.get(f"{TEAMS}/core/members", json=[a_user(f"u{n}") for n in range(130)])
    for n in range(130):
        http.get(f"{API}/users/u{n}", json={"name": f"User {n}"})
    found = teams_of().members({"id": "core"}, call)
    assert len(found) == 130
    assert (found[99]["name"], found[100]["name"]) == ("User 99", "u100")
    assert http.call_count == 102


def test_slow_profiles_do_not_cost_the_answer(
    http: requests_mock.Mocker, teams_of: Build, call: Call
) -> None:
    """They get a part of the time only; members that cannot be read do cost it."""
    http.get(f"{TEAMS}/core/members", json=[a_user("ann")])
    http.get(f"{API}/users/ann", exc=requests.exceptions.ReadTimeout)
    assert teams_of().members({"id": "core"}, call)[0]["name"] == "ann"
    _, read_timeout_s = http.last_request.timeout
    assert 20 < read_timeout_s <= 0.8 * 30
    http.get(f"{TEAMS}/core/members", exc=requests.exceptions.ReadTimeout)
    with pytest.raises(UpstreamTimeout):
        teams_of().members({"id": "core"}, call)

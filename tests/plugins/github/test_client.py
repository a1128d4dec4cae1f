"""Errors, rate limits, retries and credentials."""

import datetime
import email.utils
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import (
    AuthFailed,
    BadRequest,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from opsorch.plugin import Call
from opsorch_plugins.github.provider import GitHubDeployments, GitHubTeams, GitHubTickets
from tests.plugins.github.support import API, ISSUES, REPO, RUNS, SEARCH, TEAMS, TOKEN

Build = Callable[..., GitHubTickets]
Json = dict[str, Any]


def limited(**headers: str) -> Json:
    return {"status_code": 403, "headers": headers, "json": {"message": "Forbidden"}}


def in_an_hour() -> str:
    return str(int(time.time()) + 3600)


def test_the_headers_of_a_request(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """The token, the version and a name of ours."""
    http.get(ISSUES, json=[])
    tickets_of().query({}, call)
    headers = http.last_request.headers
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Accept"] == "application/vnd.github+json"
    assert headers["X-GitHub-Api-Version"] == "2022-11-28"
    assert headers["User-Agent"].startswith("opsorch-python/")


def test_a_netrc_entry_does_not_replace_the_token(
    http: requests_mock.Mocker,
    tickets_of: Build,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    """People who use git have one for this host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.github.com login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    http.get(ISSUES, json=[])
    tickets_of().query({}, call)
    assert http.last_request.headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.case("github", 10)
@pytest.mark.parametrize("status", [403, 429])
def test_a_used_up_limit_is_told_at_once(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, pauses: list[float], status: int
) -> None:
    """It comes back within the hour: nobody waits that long here."""
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": in_an_hour()}
    http.get(ISSUES, status_code=status, headers=headers, json={"message": f"for {TOKEN}"})
    with pytest.raises(RateLimited, match="hourly") as refused:
        tickets_of().query({}, call)
    assert refused.value.retry_after_s == pytest.approx(3600, abs=5)
    assert TOKEN not in refused.value.message
    assert (http.call_count, pauses) == (1, [])


@pytest.mark.case("github", 10)
def test_every_read_tells_a_used_up_limit(
    http: requests_mock.Mocker,
    call: Call,
    tickets_of: Build,
    deployments_of: Callable[..., GitHubDeployments],
    teams_of: Callable[..., GitHubTeams],
) -> None:
    """Whatever is read."""
    answer = limited(**{"x-ratelimit-remaining": "0", "x-ratelimit-reset": in_an_hour()})
    http.get(requests_mock.ANY, **answer)
    reads: list[Callable[[], Any]] = [
        lambda: tickets_of().query({}, call),
        lambda: tickets_of().query({"query": "x"}, call),
        lambda: tickets_of().get({"id": "1"}, call),
        lambda: tickets_of().update({"id": "1", "input": {"title": "x"}}, call),
        lambda: deployments_of().query({}, call),
        lambda: deployments_of(deploymentSource="deployments").get({"id": "1"}, call),
        lambda: teams_of().query({}, call),
        lambda: teams_of().get({"id": "1"}, call),
        lambda: teams_of().members({"id": "core"}, call),
    ]
    for read in reads:
        with pytest.raises(RateLimited):
            read()
    assert http.call_count == len(reads)


@pytest.mark.case("github", 11)
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_short_wait_is_taken(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, pauses: list[float], form: str
) -> None:
    """The caller sees the answer only."""
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    told = "1" if form == "seconds" else email.utils.format_datetime(soon, usegmt=True)
    http.get(ISSUES, [limited(**{"Retry-After": told}), {"json": []}])
    assert tickets_of().query({}, call) == []
    assert http.call_count == 2
    assert len(pauses) == 1 and 0 <= pauses[0] <= 2


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"status_code": 403, "json": {"message": "You have exceeded a secondary rate limit"}}, 60),
        ({"status_code": 403, "json": {"message": "You triggered an ABUSE detection"}}, 60),
        ({"status_code": 429}, 60),
        (limited(**{"Retry-After": "90", "X-RateLimit-Remaining": "0"}), 90),
        (limited(**{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "odd"}), 60),
        (limited(**{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1000"}), 1),
    ],
)
def test_how_long_to_wait(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, answer: Json, seconds: float
) -> None:
    """As told; a minute where nothing is told."""
    http.get(ISSUES, **answer)
    with pytest.raises(RateLimited) as refused:
        tickets_of().query({}, call)
    assert refused.value.retry_after_s == seconds
    assert http.call_count == (3 if seconds == 1 else 1)


@pytest.mark.case("github", 12)
def test_single_sign_on_is_named(http: requests_mock.Mocker, tickets_of: Build, call: Call) -> None:
    """The address in the header leads to one person's authorization and stays here."""
    told = "required; url=https://github.com/orgs/acme/sso?authorization_request=abc"
    http.get(ISSUES, **limited(**{"X-GitHub-SSO": told}))
    with pytest.raises(AuthFailed, match="SSO") as refused:
        tickets_of().query({}, call)
    assert "https" not in refused.value.message
    assert http.call_count == 1


@pytest.mark.case("github", 12)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_no_error_repeats_the_token(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, status: int
) -> None:
    """Whatever the server sends back."""
    body = {"message": f"no {TOKEN}", "errors": [{"resource": TOKEN, "code": TOKEN}]}
    http.get(ISSUES, status_code=status, json=body, headers={"X-Odd": TOKEN})
    with pytest.raises(OpsOrchError) as refused:
        tickets_of().query({}, call)
    assert TOKEN not in refused.value.message
    if status == 401:
        assert refused.value.code == "auth_failed"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X-Accepted-OAuth-Scopes": "repo, public_repo"}, "scopes: repo, public_repo"),
        ({"X-Accepted-GitHub-Permissions": "issues=read"}, "permissions: issues=read"),
        ({}, "lacks a permission or scope"),
    ],
)
def test_a_refused_token_is_told_what_it_needs(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, headers: Any, words: str
) -> None:
    """From headers, never from the body."""
    http.get(ISSUES, **limited(**headers))
    with pytest.raises(AuthFailed, match=words) as refused:
        tickets_of().query({}, call)
    assert "Forbidden" not in refused.value.message


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequest),
        (409, BadRequest),
        (422, BadRequest),
        (404, NotFound),
        (410, NotFound),
        (408, UpstreamTimeout),
        (418, ProviderError),
        (500, ProviderError),
        (501, ProviderError),
    ],
)
def test_each_status_has_its_error(
    http: requests_mock.Mocker,
    tickets_of: Build,
    call: Call,
    status: int,
    error: type[OpsOrchError],
) -> None:
    """One call each: such an answer stays the same."""
    http.get(ISSUES, status_code=status, json={"message": "Some words"})
    with pytest.raises(error, match=f"HTTP {status}: Some words") as failed:
        tickets_of().query({}, call)
    assert type(failed.value) is error
    assert http.call_count == 1


def test_what_is_hidden_looks_as_if_it_were_not_there(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """GitHub answers 404 to a token that may not see something."""
    http.get(f"{ISSUES}/1", status_code=404, json={"message": "Not Found"})
    with pytest.raises(NotFound, match="the token may lack access"):
        tickets_of().get({"id": "1"}, call)


def test_long_words_are_cut(http: requests_mock.Mocker, tickets_of: Build, call: Call) -> None:
    """And control characters are taken out."""
    http.get(ISSUES, status_code=422, json={"message": "a\nb\x00" + "x" * 900})
    with pytest.raises(BadRequest) as refused:
        tickets_of().query({}, call)
    assert len(refused.value.message) < 340
    assert "a b x" in refused.value.message


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_passing_failure_is_bridged(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, pauses: list[float], status: int
) -> None:
    """Two more tries, with a growing pause."""
    http.get(ISSUES, [{"status_code": status}, {"status_code": status}, {"json": []}])
    assert tickets_of().query({}, call) == []
    assert pauses == [0.5, 1.0]


@pytest.mark.parametrize(
    ("exc", "error"),
    [
        (requests.exceptions.ConnectTimeout, UpstreamUnreachable),
        (requests.exceptions.ReadTimeout, UpstreamTimeout),
        (requests.exceptions.ConnectionError(ConnectionRefusedError()), UpstreamUnreachable),
        (requests.exceptions.SSLError, UpstreamUnreachable),
    ],
)
def test_a_server_that_does_not_answer_is_tried_three_times(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, exc: Any, error: type[OpsOrchError]
) -> None:
    """Then host and port are told."""
    http.get(ISSUES, exc=exc)
    with pytest.raises(error, match=r"api\.github\.com:443"):
        tickets_of().query({}, call)
    assert http.call_count == 3


def test_no_try_goes_past_the_deadline(http: requests_mock.Mocker, tickets_of: Build) -> None:
    """A pause that does not fit ends the tries."""
    http.get(ISSUES, status_code=503)
    with pytest.raises(ProviderError):
        tickets_of().query({}, Call(Deadline.after(0.4)))
    assert http.call_count == 1


def test_a_moved_repository_can_be_read(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """GitHub leads to its present place on the same host."""
    moved = f"{API}/repositories/9/issues?state=all&per_page=100"
    http.get(ISSUES, status_code=301, headers={"Location": moved})
    http.get(moved, json=[])
    assert tickets_of().query({}, call) == []
    assert http.last_request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_no_redirect_leads_to_another_host(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """The token goes to the configured host alone."""
    http.get(ISSUES, status_code=301, headers={"Location": "https://evil.test/issues"})
    with pytest.raises(ProviderError, match=r"evil\.test; not followed"):
        tickets_of().query({}, call)
    assert http.call_count == 1


@pytest.mark.case("github", 20)
@pytest.mark.parametrize(
    "answer",
    [
        {"text": "<html>log in</html>", "headers": {"Content-Type": "text/html"}},
        {"text": ""},
        {"json": "text"},
        {"json": None},
        {"json": {}},
    ],
)
def test_success_by_status_alone_is_not_believed(
    http: requests_mock.Mocker,
    call: Call,
    tickets_of: Build,
    deployments_of: Callable[..., GitHubDeployments],
    teams_of: Callable[..., GitHubTeams],
    answer: Json,
) -> None:
    """A page of a proxy, or another shape, is no answer of GitHub."""
    http.get(requests_mock.ANY, **answer)
    reads: list[Callable[[], Any]] = [
        lambda: tickets_of().query({}, call),
        lambda: tickets_of().query({"query": "x"}, call),
        lambda: tickets_of().get({"id": "1"}, call),
        lambda: deployments_of().query({}, call),
        lambda: deployments_of().get({"id": "1"}, call),
        lambda: deployments_of(deploymentSource="deployments").query({}, call),
        lambda: teams_of().query({}, call),
        lambda: teams_of().get({"id": "core"}, call),
        lambda: teams_of().get({"id": "12"}, call),
        lambda: teams_of().members({"id": "core"}, call),
    ]
    for read in reads:
        with pytest.raises(ProviderError, match="unexpected response") as failed:
            read()
        assert failed.value.code == "provider_error"
        assert "log in" not in failed.value.message


@pytest.mark.parametrize(
    ("url", "payload", "kind"),
    [(ISSUES, {}, "ticket"), (SEARCH, {"query": "x"}, "ticket"), (RUNS, {}, "deployment")],
)
def test_an_object_without_its_list_is_no_answer(
    http: requests_mock.Mocker,
    call: Call,
    tickets_of: Build,
    deployments_of: Callable[..., GitHubDeployments],
    url: str,
    payload: Json,
    kind: str,
) -> None:
    """The key of the list is missing, or holds something else."""
    provider = tickets_of() if kind == "ticket" else deployments_of()
    for body in ({}, {"items": {}}, {"workflow_runs": 3}):
        http.get(url, json=body)
        with pytest.raises(ProviderError, match="unexpected response"):
            provider.query(payload, call)


@pytest.mark.parametrize(
    ("path", "what", "granted"),
    [
        ("/issues", "Issues: read and write", "repo"),
        ("/actions/runs", "Actions: read", "repo"),
        ("/deployments", "Deployments: read", "repo_deployment"),
        ("teams", "Members: read", "read:org"),
    ],
)
def test_the_check_names_what_the_token_lacks(
    http: requests_mock.Mocker,
    call: Call,
    tickets_of: Build,
    deployments_of: Callable[..., GitHubDeployments],
    teams_of: Callable[..., GitHubTeams],
    path: str,
    what: str,
    granted: str,
) -> None:
    """One small request a check."""
    provider: Any = {
        "/issues": tickets_of,
        "/actions/runs": deployments_of,
        "/deployments": lambda: deployments_of(deploymentSource="deployments"),
        "teams": teams_of,
    }[path]()
    url = TEAMS if path == "teams" else REPO + path
    http.get(
        url,
        [
            {"json": [], "headers": {"X-OAuth-Scopes": f"gist, {granted}"}},
            {"json": []},
            {"json": [], "headers": {"X-OAuth-Scopes": "gist"}},
            {"status_code": 404, "json": {"message": "Not Found"}},
            {"status_code": 500},
        ],
    )
    results = [provider.check(call) for _ in range(5)]
    assert http.call_count == 5
    assert [[check.ok for check in checks] for checks in results] == [
        [True, True],
        [True],
        [True, False],
        [False],
        [False],
    ]
    assert "acme" in results[0][0].message
    for checks in results[2:4]:
        assert what in checks[-1].message and granted in checks[-1].message
    assert what not in results[4][0].message

"""Issues as tickets: what is asked of GitHub, what comes back, what is sent."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
import requests_mock

from opsorch.errors import (
    BadRequest,
    NotFound,
    OpsOrchError,
    ProviderError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from opsorch.plugin import Call
from opsorch_plugins.github.provider import GitHubTickets
from opsorch_plugins.github.words import STATES
from tests.fakes.github import an_issue
from tests.plugins.github.support import API, ISSUES, SEARCH, found, next_link, pull, sent

Build = Callable[..., GitHubTickets]
Json = dict[str, Any]


@pytest.mark.case("github", 1)
def test_all_issues_are_listed_and_pull_requests_are_not(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Open and closed ones alike, unless statuses say otherwise."""
    http.get(ISSUES, json=[an_issue(1, "One"), pull(2), an_issue(3, "Three", state="closed")])
    tickets = tickets_of().query({}, call)
    assert [(t["id"], t["status"]) for t in tickets] == [("1", "open"), ("3", "closed")]
    parameters = {"state": "all", "sort": "created", "direction": "desc", "per_page": "100"}
    assert sent(http.last_request) == parameters


@pytest.mark.case("github", 2)
def test_the_limit_counts_issues_across_pages(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """A page full of pull requests is no reason to stop, enough tickets are one."""
    second = f"{API}/repositories/1/issues?page=2"
    page = [an_issue(500, "First"), *map(pull, range(401, 500))]
    http.get(ISSUES, json=page, headers=next_link(second))
    more = [an_issue(number, "More") for number in range(5, 0, -1)]
    http.get(second, json=more, headers=next_link(f"{API}/repositories/1/issues?page=3"))
    tickets = tickets_of().query({"limit": 3}, call)
    assert [t["id"] for t in tickets] == ["500", "5", "4"]
    assert http.call_count == 2


@pytest.mark.case("github", 3)
@pytest.mark.parametrize(
    "other", ["https://evil.test/issues?page=2", "http://api.github.com/issues", "//evil.test/x"]
)
def test_a_next_page_on_another_host_is_not_asked_for(
    http: requests_mock.Mocker,
    tickets_of: Build,
    call: Call,
    other: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The token goes to the configured host alone."""
    http.get(ISSUES, json=[an_issue(1, "One")], headers=next_link(other))
    assert len(tickets_of().query({}, call)) == 1
    assert http.call_count == 1
    assert "another host" in caplog.text


@pytest.mark.parametrize("base", ["https://GHE.example.com", "https://ghe.example.com:443"])
def test_the_next_page_is_on_the_same_host_however_it_is_written(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, base: str
) -> None:
    """GitHub writes its links without the port and in small letters."""
    second = "https://ghe.example.com/api/v3/repositories/1/issues?page=2"
    first = f"{base}/api/v3/repos/acme/web/issues"
    http.get(first, json=[an_issue(2, "Two")], headers=next_link(second))
    http.get(second, json=[an_issue(1, "One")])
    tickets = tickets_of(apiURL=base).query({}, call)
    assert [t["id"] for t in tickets] == ["2", "1"]


def test_paging_ends_after_twenty_pages(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """A repository of pull requests alone must not use up the rate limit."""
    http.get(ISSUES, json=[pull(1)], headers=next_link(f"{ISSUES}?page=2"))
    assert tickets_of().query({}, call) == []
    assert http.call_count == 20
    assert "more than 20 pages" in caplog.text


@pytest.mark.parametrize(("limit", "count"), [(0, 100), (None, 100), (7, 7), (5000, 1000)])
def test_limits(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, limit: Any, count: int
) -> None:
    """0 and none are a hundred; nobody gets more than a thousand."""
    page = [an_issue(number, "One") for number in range(100)]
    http.get(ISSUES, json=page, headers=next_link(f"{ISSUES}?page=2"))
    assert len(tickets_of().query({"limit": limit}, call)) == count


@pytest.mark.case("github", 4)
@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        (["open", "closed"], "all"),
        ([], "all"),
        (None, "all"),
        (["Open", "in_review"], "open"),
        (["WONTFIX", " done "], "closed"),
        (["todo", "cancelled"], "all"),
    ],
)
def test_statuses_choose_the_state(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, statuses: Any, state: str
) -> None:
    """Words of both kinds ask for all."""
    http.get(ISSUES, json=[])
    assert tickets_of().query({"statuses": statuses}, call) == []
    assert sent(http.last_request)["state"] == state


@pytest.mark.parametrize(("word", "state"), STATES.items())
def test_every_word_has_its_state(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, word: str, state: str
) -> None:
    """The whole table reaches GitHub."""
    http.get(ISSUES, json=[])
    tickets_of().query({"statuses": [word]}, call)
    assert sent(http.last_request)["state"] == state


@pytest.mark.case("github", 4)
@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"statuses": ["bogus"]}, "statuses: 'bogus' is unknown"),
        ({"statuses": ["open", ""]}, "statuses: '' is unknown"),
        ({"limit": -1}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"limit": True}, "limit"),
        ({"assignees": ["a b"]}, "assignees"),
        ({"assignees": ["-x"]}, "assignees"),
        ({"assignees": ["*"]}, "assignees"),
        ({"reporter": "x:y"}, "reporter"),
        ({"query": "x" * 257}, "query is too long"),
        ({"query": '"()[]'}, "query holds nothing"),
        ({"metadata": {"labels": [1]}}, "metadata.labels"),
        ({"metadata": {"labels": {"a": 1}}}, "metadata.labels"),
        ({"metadata": {"milestone": "next"}}, "metadata.milestone"),
        ({"metadata": {"milestone": True}}, "metadata.milestone"),
        ({"metadata": {"since": "yesterday"}}, "metadata.since"),
        ({"metadata": {"mentioned": "a b"}}, "metadata.mentioned"),
        ({"scope": {"team": 1}}, "scope.team"),
    ],
)
def test_what_does_not_fit_is_refused_without_a_call(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, payload: Json, words: str
) -> None:
    """The message names the field."""
    with pytest.raises(BadRequest) as refused:
        tickets_of().query(payload, call)
    assert words in refused.value.message
    assert http.call_count == 0


def test_every_filter_of_the_list_is_sent(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """In the words of GitHub."""
    issue = an_issue(1, "One", labels=[{"name": "Bug"}, "p1"])
    http.get(ISSUES, json=[issue])
    payload = {
        "assignees": ["@Ann"],
        "reporter": "@ci[bot]",
        "metadata": {
            "labels": " bug, p1 ,",
            "milestone": 3,
            "since": "2024-05-06T09:08:07.5+02:00",
            "mentioned": "bob_acme",
        },
    }
    assert len(tickets_of().query(payload, call)) == 1
    asked = sent(http.last_request)
    assert (asked["assignee"], asked["creator"]) == ("Ann", "ci[bot]")
    assert (asked["labels"], asked["milestone"]) == ("bug,p1", "3")
    assert (asked["since"], asked["mentioned"]) == ("2024-05-06T07:08:07Z", "bob_acme")


def test_unassigned_and_any_milestone(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """``none`` and ``*`` are GitHub's words for it."""
    http.get(ISSUES, json=[])
    payload = {"assignees": ["Unassigned"], "metadata": {"milestone": "*"}}
    tickets_of().query(payload, call)
    assert sent(http.last_request)["assignee"] == "none"
    assert sent(http.last_request)["milestone"] == "*"


def test_several_assignees_are_told_apart_here(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """GitHub takes one only; letter case does not count."""
    people = [["Ann"], ["bob", "eve"], ["eve"], []]
    issues = [
        an_issue(number, "One", assignees=[{"login": login} for login in logins])
        for number, logins in enumerate(people, 1)
    ]
    http.get(ISSUES, json=issues)
    provider = tickets_of()
    kept = provider.query({"assignees": ["ann", "BOB"]}, call)
    assert [t["id"] for t in kept] == ["1", "2"]
    assert "assignee" not in sent(http.last_request)
    kept = provider.query({"assignees": ["unassigned", "ann"]}, call)
    assert [t["id"] for t in kept] == ["1", "4"]


@pytest.mark.parametrize(
    ("scope", "ids"),
    [
        ({"service": "WEB"}, ["1", "2", "3", "4"]),
        ({"service": "Acme/web"}, ["1", "2", "3", "4"]),
        ({"service": "api"}, ["1", "2"]),
        ({"team": "Core"}, ["2", "3"]),
        ({"environment": "prod"}, ["3", "4"]),
        ({"team": "core", "environment": "PROD"}, ["3"]),
        ({"service": "acme/api"}, []),
    ],
)
def test_scopes_are_labels(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, scope: Json, ids: list[str]
) -> None:
    """Bare or with their prefix; the repository itself is no label."""
    labels = [["api"], ["service:API", "team:core"], ["core", "env:Prod"], ["prod", "team:x"]]
    issues = [
        an_issue(number, "One", labels=[{"name": name} for name in names])
        for number, names in enumerate(labels, 1)
    ]
    http.get(ISSUES, json=issues)
    assert [t["id"] for t in tickets_of().query({"scope": scope}, call)] == ids


@pytest.mark.case("github", 5)
def test_a_search_cannot_leave_the_repository(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Words stay words, and what comes from elsewhere all the same is dropped."""
    labels = [{"name": "bug"}]
    ours = an_issue(1, "One", labels=labels, api=API)
    other = an_issue(2, "Two", labels=labels, repository="acme/secret")
    http.get(SEARCH, json=found(ours, other, {**ours, **pull(3)}))
    payload = {
        "query": 'crash repo:acme/secret -label:x "y"',
        "metadata": {"labels": ["bug"]},
        "statuses": ["open"],
        "assignees": ["ann"],
        "reporter": "ci[bot]",
    }
    assert [t["id"] for t in tickets_of().query(payload, call)] == ["1"]
    asked = sent(http.last_request)
    assert asked["q"] == (
        'crash "repo:acme/secret" "-label:x" y repo:acme/web is:issue in:title,body'
        ' state:open assignee:ann author:app/ci label:"bug"'
    )
    assert (asked["sort"], asked["order"]) == ("created", "desc")


def test_searches_beyond_a_page(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """Pages are no larger than needed; a search cut short by GitHub is told in the log."""
    first = {**found(an_issue(1, "One")), "incomplete_results": True}
    http.get(SEARCH, json=first, headers=next_link(f"{SEARCH}?page=2"))
    http.get(f"{SEARCH}?page=2", json=found(an_issue(2, "Two")))
    payload = {"query": "o", "limit": 5, "assignees": ["unassigned"]}
    assert [t["id"] for t in tickets_of().query(payload, call)] == ["1", "2"]
    assert sent(http.request_history[0])["per_page"] == "5"
    assert "no:assignee" in sent(http.request_history[0])["q"]
    assert "incomplete" in caplog.text


def test_labels_that_github_cannot_be_asked_for_are_looked_at_here(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """A comma would split one in a list, a quote would end it in a search."""
    odd = [{"name": 'a,"b"'}]
    issues = [an_issue(1, "One", labels=odd), an_issue(2, "Two", labels=[{"name": "a"}])]
    http.get(ISSUES, json=issues)
    http.get(SEARCH, json=found(*issues))
    payload: Json = {"metadata": {"labels": ['A,"b"']}}
    assert [t["id"] for t in tickets_of().query(payload, call)] == ["1"]
    assert "labels" not in sent(http.last_request)
    assert [t["id"] for t in tickets_of().query({**payload, "query": "o"}, call)] == ["1"]
    assert "label:" not in sent(http.last_request)["q"]


def test_an_issue_without_a_number_is_left_out(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """One odd item does not cost the list."""
    http.get(ISSUES, json=[{"title": "odd"}, 7, an_issue(1, "One")])
    assert [t["id"] for t in tickets_of().query({}, call)] == ["1"]
    assert "without a number" in caplog.text


def test_a_ticket_in_full(http: requests_mock.Mocker, tickets_of: Build, call: Call) -> None:
    """Every field that an issue fills."""
    issue = an_issue(
        12,
        "Crash",
        body="It crashed.",
        state="closed",
        state_reason="not_planned",
        comments=2,
        labels=[{"name": "bug"}, "p1"],
        milestone={"title": "May"},
        type={"name": "Bug"},
        assignees=[{"login": "ann"}],
        closed_at="2024-05-06T10:00:00+02:00",
        user=None,
    )
    http.get(f"{ISSUES}/12", json=issue)
    assert tickets_of(source="tracker").get({"id": "12"}, call) == {
        "id": "12",
        "key": "acme/web#12",
        "title": "Crash",
        "description": "It crashed.",
        "status": "closed",
        "assignees": ["ann"],
        "reporter": "ghost",
        "url": "https://github.test/acme/web/issues/12",
        "createdAt": "2024-05-06T07:12:00Z",
        "updatedAt": "2024-05-06T08:12:00Z",
        "fields": {
            "url": "https://github.test/acme/web/issues/12",
            "labels": ["bug", "p1"],
            "milestone": "May",
            "state_reason": "not_planned",
            "comments": 2,
            "closed_at": "2024-05-06T08:00:00Z",
            "type": "Bug",
            "locked": False,
        },
        "metadata": {
            "source": "tracker",
            "node_id": "I_12",
            "repository": "acme/web",
            "author_association": "MEMBER",
        },
    }


@pytest.mark.case("github", 6)
@pytest.mark.parametrize("given", ["12", "#12", "acme/web#12", "ACME/Web#12", " 012 "])
def test_an_issue_is_found_by_each_form_of_its_number(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, given: str
) -> None:
    """As people copy it."""
    http.get(f"{ISSUES}/12", json=an_issue(12, "One"))
    assert tickets_of().get({"id": given}, call)["key"] == "acme/web#12"


@pytest.mark.case("github", 6)
@pytest.mark.parametrize(
    "given",
    ["1/../2", "x", "#", "-1", "1.0", "acme/api#12", "١٢", "12?x", "%31", "1" * 19, "", " "],
)
def test_other_ids_are_refused_without_a_call(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, given: str
) -> None:
    """Nothing of an id can change the path."""
    for method in (tickets_of().get, tickets_of().update):
        with pytest.raises(BadRequest, match="id"):
            method({"id": given}, call)
    assert http.call_count == 0


@pytest.mark.case("github", 6)
def test_a_pull_request_is_no_ticket(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Neither to read nor to change."""
    http.get(f"{ISSUES}/12", json=pull(12))
    for method in (tickets_of().get, tickets_of().update):
        with pytest.raises(NotFound, match="pull request"):
            method({"id": "12", "input": {"title": "New"}}, call)
    assert [request.method for request in http.request_history] == ["GET", "GET"]


def test_a_transferred_issue_is_not_found(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """GitHub leads to another repository's issue, whose number is another."""
    moved = f"{API}/repositories/9/issues/3"
    http.get(f"{ISSUES}/12", status_code=301, headers={"Location": moved})
    http.get(moved, json=an_issue(3, "One"))
    with pytest.raises(NotFound, match="transferred"):
        tickets_of().get({"id": "12"}, call)


@pytest.mark.case("github", 7)
def test_a_create_tells_what_github_dropped(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Without push access GitHub leaves assignees and labels out and says nothing."""
    made = an_issue(13, "Crash", assignees=[{"login": "Ann"}], labels=[{"name": "bug"}])
    http.post(ISSUES, status_code=201, json=made)
    payload = {
        "title": " Crash ",
        "description": "It crashed.",
        "reporter": "eve",
        "assignees": ["@ann"],
        "fields": {
            "assignees": "bob, ann",
            "labels": ["bug", "p1"],
            "milestone": "4",
            "type": "Bug",
            "unknown": 1,
        },
        "metadata": {"labels": ["BUG", "ops"], "unknown": 1},
    }
    ticket = tickets_of(defaultLabels=["from-opsorch"]).create(payload, call)
    assert http.last_request.json() == {
        "title": "Crash",
        "body": "It crashed.",
        "assignees": ["ann", "bob"],
        "labels": ["bug", "p1", "ops", "from-opsorch"],
        "milestone": 4,
        "type": "Bug",
    }
    assert ticket["id"] == "13"
    assert ticket["metadata"]["dropped_assignees"] == ["bob"]
    assert ticket["metadata"]["dropped_labels"] == ["p1", "ops", "from-opsorch"]


def test_a_small_create(http: requests_mock.Mocker, tickets_of: Build, call: Call) -> None:
    """What is not given is not sent, and nothing was dropped."""
    http.post(ISSUES, status_code=201, json=an_issue(13, "Crash"))
    payload = {"title": "Crash", "description": "", "assignees": [], "fields": {"milestone": None}}
    ticket = tickets_of().create(payload, call)
    assert http.last_request.json() == {"title": "Crash"}
    assert not [name for name in ticket["metadata"] if name.startswith("dropped")]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({}, "title is required"),
        ({"title": "  "}, "title is required"),
        ({"title": 1}, "title must be a string"),
        ({"title": "x", "assignees": ["a b"]}, "assignees"),
        ({"title": "x", "fields": {"assignees": 1}}, "fields.assignees"),
        ({"title": "x", "fields": {"labels": [None]}}, "fields.labels"),
        ({"title": "x", "fields": {"milestone": "May"}}, "fields.milestone"),
        ({"title": "x", "fields": {"milestone": 0}}, "fields.milestone"),
        ({"title": "x", "fields": {"milestone": True}}, "fields.milestone"),
        ({"title": "x", "fields": {"type": 3}}, "fields.type"),
        ({"title": "x", "fields": {"type": " "}}, "fields.type"),
    ],
)
def test_a_create_that_does_not_fit_is_refused_without_a_call(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, payload: Json, words: str
) -> None:
    """The message names the field."""
    with pytest.raises(BadRequest, match=words):
        tickets_of().create(payload, call)
    assert http.call_count == 0


@pytest.mark.case("github", 8)
@pytest.mark.parametrize(
    ("answer", "error", "code", "unknown"),
    [
        ({"status_code": 502, "text": "<html>"}, ProviderError, "provider_error", True),
        ({"status_code": 504}, UpstreamTimeout, "upstream_timeout", True),
        ({"exc": requests.exceptions.ReadTimeout}, UpstreamTimeout, "upstream_timeout", True),
        (
            {"exc": requests.exceptions.ConnectionError(ConnectionRefusedError())},
            UpstreamUnreachable,
            "upstream_unreachable",
            False,
        ),
        (
            {"exc": requests.exceptions.ConnectionError(ConnectionResetError())},
            UpstreamUnreachable,
            "upstream_unreachable",
            True,
        ),
        ({"status_code": 201, "text": "<html>"}, ProviderError, "provider_error", True),
        ({"status_code": 201, "json": {}}, ProviderError, "provider_error", True),
        ({"status_code": 301}, ProviderError, "provider_error", False),
        ({"status_code": 429}, OpsOrchError, "rate_limited", False),
    ],
)
def test_a_failed_create_is_sent_once(
    http: requests_mock.Mocker,
    tickets_of: Build,
    call: Call,
    pauses: list[float],
    answer: Json,
    error: type[OpsOrchError],
    code: str,
    unknown: bool,
) -> None:
    """Whether the issue may exist all the same is told."""
    http.post(ISSUES, **answer)
    with pytest.raises(error) as failed:
        tickets_of().create({"title": "Crash"}, call)
    assert (failed.value.code, failed.value.outcome_unknown) == (code, unknown)
    assert (http.call_count, pauses) == (1, [])


@pytest.mark.case("github", 8)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_write_follows_no_redirect(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, status: int
) -> None:
    """A moved repository is told; the issue is made nowhere."""
    location = {"Location": f"{API}/repositories/9/issues"}
    http.post(ISSUES, status_code=status, headers=location)
    with pytest.raises(ProviderError, match="update owner and repo") as failed:
        tickets_of().create({"title": "Crash"}, call)
    assert (failed.value.code, failed.value.outcome_unknown) == ("provider_error", False)
    assert http.call_count == 1


def test_a_create_where_issues_are_disabled(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """That is the caller's to know; for a read nothing is there."""
    http.post(ISSUES, status_code=410, json={"message": "Gone"})
    http.get(ISSUES, status_code=410, json={"message": "Gone"})
    with pytest.raises(BadRequest, match="issues are disabled"):
        tickets_of().create({"title": "Crash"}, call)
    with pytest.raises(NotFound):
        tickets_of().query({}, call)


@pytest.mark.case("github", 9)
def test_an_update_sets_clears_and_closes(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Empty values are values."""
    http.get(f"{ISSUES}/12", json=an_issue(12, "Crash", body="Old"))
    http.patch(f"{ISSUES}/12", json=an_issue(12, "Crash", state="closed"))
    changes = {"status": "wontfix", "assignees": [], "description": ""}
    ticket = tickets_of().update({"id": "12", "input": changes}, call)
    assert http.last_request.json() == {
        "state": "closed",
        "state_reason": "not_planned",
        "assignees": [],
        "body": "",
    }
    assert ticket["status"] == "closed"
    assert [request.method for request in http.request_history] == ["GET", "PATCH"]


@pytest.mark.parametrize(
    ("state", "changes", "body"),
    [
        ("open", {"status": "done"}, {"state": "closed", "state_reason": "completed"}),
        ("open", {"status": "Cancelled"}, {"state": "closed", "state_reason": "not_planned"}),
        ("closed", {"status": "open"}, {"state": "open", "state_reason": "reopened"}),
        ("open", {"status": "in_progress"}, {"state": "open"}),
        ("open", {"title": " New "}, {"title": "New"}),
        ("open", {"assignees": ["@ann", "ANN", "bob"]}, {"assignees": ["ann", "bob"]}),
        ("open", {"fields": {"labels": "a,b"}}, {"labels": ["a", "b"]}),
        ("open", {"metadata": {"labels": []}}, {"labels": []}),
        (
            "open",
            {"fields": {"labels": ["a"]}, "metadata": {"labels": ["A", "b"]}},
            {"labels": ["a", "b"]},
        ),
        (
            "open",
            {"fields": {"milestone": None, "type": None}},
            {"milestone": None, "type": None},
        ),
        ("open", {"fields": {"milestone": 5}}, {"milestone": 5}),
    ],
)
def test_each_change_is_sent(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, state: str, changes: Json, body: Json
) -> None:
    """And nothing besides."""
    http.get(f"{ISSUES}/12", json=an_issue(12, "Crash", state=state))
    http.patch(f"{ISSUES}/12", json=an_issue(12, "Crash"))
    tickets_of(defaultLabels=["x"]).update({"id": "#12", "input": changes}, call)
    assert http.last_request.json() == body


@pytest.mark.parametrize(
    "changes",
    [None, {}, {"title": None, "description": None, "status": None, "assignees": None}],
)
def test_an_update_of_nothing_answers_the_issue(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, changes: Any
) -> None:
    """Nothing is written."""
    http.get(f"{ISSUES}/12", json=an_issue(12, "Crash"))
    assert tickets_of().update({"id": "12", "input": changes}, call)["title"] == "Crash"
    assert [request.method for request in http.request_history] == ["GET"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"title": " "}, "title"),
        ({"status": "bogus"}, "status: 'bogus' is unknown"),
        ({"status": ""}, "status"),
        ({"assignees": "ann"}, "assignees"),
        ({"description": 1}, "description"),
        ({"fields": {"milestone": []}}, "fields.milestone"),
    ],
)
def test_an_update_that_does_not_fit_is_refused_without_a_call(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, changes: Json, words: str
) -> None:
    """The message names the field."""
    with pytest.raises(BadRequest, match=words):
        tickets_of().update({"id": "12", "input": changes}, call)
    assert http.call_count == 0


def test_a_lost_update_says_so(http: requests_mock.Mocker, tickets_of: Build, call: Call) -> None:
    """The read before it is harmless, the write may have been made."""
    http.get(f"{ISSUES}/12", json=an_issue(12, "Crash"))
    http.patch(f"{ISSUES}/12", exc=requests.exceptions.ReadTimeout)
    with pytest.raises(UpstreamTimeout) as failed:
        tickets_of().update({"id": "12", "input": {"title": "New"}}, call)
    assert failed.value.outcome_unknown
    assert [request.method for request in http.request_history] == ["GET", "PATCH"]
    http.get(f"{ISSUES}/12", exc=requests.exceptions.ReadTimeout)
    with pytest.raises(UpstreamTimeout) as failed:
        tickets_of().update({"id": "12", "input": {"title": "New"}}, call)
    assert not failed.value.outcome_unknown


def test_validation_errors_name_the_field(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """GitHub's own words, in one line."""
    body = {
        "message": "Validation Failed",
        "errors": [
            {"resource": "Issue", "field": "title", "code": "missing_field"},
            {"resource": "Issue", "field": "body", "message": "is too\nlong", "code": "custom"},
            {"code": "odd"},
            "text",
        ],
    }
    http.post(ISSUES, status_code=422, text=json.dumps(body))
    with pytest.raises(BadRequest) as refused:
        tickets_of().create({"title": "x"}, call)
    assert refused.value.message == (
        "GitHub answered HTTP 422: Validation Failed; Issue.title: missing_field;"
        " Issue.body: is too long; odd; text"
    )

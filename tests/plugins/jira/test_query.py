"""ticket.query and ticket.get over HTTP as Jira speaks it."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import requests_mock

from opsorch.errors import BadRequest, NotFound, ProviderError
from opsorch.plugin import Call
from opsorch_plugins.jira.components import KEPT_S, Components
from opsorch_plugins.jira.mapping import FIELDS
from opsorch_plugins.jira.provider import JiraTickets
from opsorch_plugins.jira.recent import MOST, RecentIssues
from tests.plugins.jira.support import (
    API,
    ISSUE,
    SEARCH,
    SITE,
    an_issue,
    calls,
    doc,
    page,
    paragraph,
    sent,
)

Json = dict[str, Any]
Build = Callable[..., JiraTickets]
USERS = f"{API}/user/search"


def a_user(account: str, email: str | None = None, *, active: bool = True) -> Json:
    return {"accountId": account, "active": active, **({"emailAddress": email} if email else {})}


@pytest.mark.case("jira", 1)
@pytest.mark.parametrize("payload", [{}, {"limit": 0}, {"scope": {}, "query": None}])
def test_an_empty_query_is_the_project(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, payload: Json
) -> None:
    """Fifty issues with the fields that a ticket needs; absent paging fields mean the end."""
    http.post(SEARCH, json=page(an_issue()))
    [ticket] = tickets_of().query(payload, call)
    assert ticket["key"] == "OPS-1"
    assert sent(http.last_request) == {
        "jql": 'project = "OPS" ORDER BY key DESC',
        "maxResults": 50,
        "fields": list(FIELDS),
    }
    assert http.last_request.headers["Accept"] == "application/json"
    assert http.last_request.headers["User-Agent"].startswith("opsorch-python/")


@pytest.mark.case("jira", 2)
def test_pages_are_followed_up_to_the_limit(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """The second page asks for the rest, and ``isLast`` ends it whatever the token says."""
    first = page(*[an_issue(n) for n in range(100)], nextPageToken="T")
    second = page(*[an_issue(n) for n in range(100, 120)], nextPageToken="U", isLast=True)
    http.post(SEARCH, [{"json": first}, {"json": second}])
    found = tickets_of().query({"limit": 120}, call)
    assert len(found) == 120
    bodies = [sent(request) for request in http.request_history]
    assert [body["maxResults"] for body in bodies] == [100, 20]
    assert [body.get("nextPageToken") for body in bodies] == [None, "T"]


def test_a_short_page_is_not_the_last(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Only the absence of a token is, or ``isLast``; more than asked for is cut."""
    pages = [page(nextPageToken="A"), page(an_issue(1), nextPageToken="B", isLast=False)]
    last = page(*[an_issue(n) for n in range(2, 9)], nextPageToken="C")
    http.post(SEARCH, [{"json": each} for each in [*pages, last]])
    assert len(tickets_of().query({"limit": 3}, call)) == 3
    assert http.call_count == 3


@pytest.mark.case("jira", 3)
def test_a_repeated_token_ends_the_search(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """And is told on stderr."""
    http.post(SEARCH, json=page(nextPageToken="T"))
    assert tickets_of().query({"limit": 10}, call) == []
    assert http.call_count == 2
    assert "repeats a page token" in caplog.text


@pytest.mark.parametrize("token", ["", None, 7])
def test_a_token_that_is_none_ends_the_search(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, token: Any
) -> None:
    """Without another request."""
    http.post(SEARCH, json=page(an_issue(), nextPageToken=token))
    assert len(tickets_of().query({}, call)) == 1
    assert http.call_count == 1


def test_the_limit_has_a_ceiling(http: requests_mock.Mocker, tickets_of: Build, call: Call) -> None:
    """Above a thousand is a thousand; a negative one is refused."""
    many = [
        {"json": page(*[an_issue(n) for n in range(100)], nextPageToken=f"T{i}")} for i in range(12)
    ]
    http.post(SEARCH, many)
    assert len(tickets_of().query({"limit": 5000}, call)) == 1000
    assert http.call_count == 10
    for limit in (-1, 1.5, "5", True):
        with pytest.raises(BadRequest, match="limit"):
            tickets_of().query({"limit": limit}, call)


def test_issues_without_identity_are_left_out(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """They cost a line on stderr, not the list."""
    http.post(SEARCH, json=page({"id": "1"}, {"key": "OPS-2"}, "odd", an_issue(3)))
    with caplog.at_level(logging.WARNING):
        assert [t["key"] for t in tickets_of().query({}, call)] == ["OPS-3"]
    assert caplog.text.count("without id or key") == 3


@pytest.mark.case("jira", 7)
def test_addresses_of_assignees_are_looked_up(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """An address that one active user has becomes the account id."""
    http.get(
        USERS, json=[a_user("acc-1", "DEV1@example.com"), a_user("acc-2", "dev1x@example.com")]
    )
    http.post(SEARCH, json=page())
    tickets_of().query({"assignees": ["dev1@example.com", "unassigned"]}, call)
    assert '(assignee IN ("acc-1") OR assignee IS EMPTY)' in sent(http.last_request)["jql"]
    assert http.request_history[0].qs == {"query": ["dev1@example.com"], "maxResults": ["10"]}


@pytest.mark.parametrize(
    ("users", "account"),
    [
        ([a_user("a"), a_user("b", active=False)], "a"),
        ([a_user("a", "x@example.com"), a_user("b", "x@example.com", active=False)], "a"),
        ([a_user("a"), a_user("b")], None),
        ([a_user("a", "x@example.com"), a_user("b", "x@example.com")], None),
        ([{"active": True}], None),
    ],
)
def test_only_a_single_active_user_counts(
    http: requests_mock.Mocker,
    tickets_of: Build,
    call: Call,
    users: list[Json],
    account: str | None,
) -> None:
    """Profiles may hide the address."""
    http.get(USERS, json=users)
    http.post(SEARCH, json=page())
    tickets_of().query({"assignees": ["x@example.com", "known"]}, call)
    wanted = f'assignee IN ("{account}","known")' if account else 'assignee IN ("known")'
    assert wanted in sent(http.last_request)["jql"]


@pytest.mark.case("jira", 8)
@pytest.mark.parametrize(
    "payload", [{"assignees": ["x@example.com"]}, {"reporter": "x@example.com"}]
)
def test_nobody_known_finds_nothing(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, payload: Json
) -> None:
    """Without a search."""
    http.get(USERS, json=[])
    assert tickets_of().query(payload, call) == []
    assert calls(http) == ["GET /user/search"]


def test_a_service_is_looked_for_among_the_components(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """They are asked for once; a service that is none of them is a label."""
    http.get(
        f"{API}/project/OPS/components",
        json=[{"id": "1", "name": "Checkout API"}, {"id": "2"}, {"id": "3", "name": None}],
    )
    http.post(SEARCH, json=page())
    provider = tickets_of()
    for service, clause in (
        ("checkout api", 'component = "Checkout API"'),
        ("web", 'labels IN ("web","service:web")'),
        ("None", 'labels IN ("None","service:None")'),
    ):
        provider.query({"scope": {"service": service}}, call)
        assert clause in sent(http.last_request)["jql"]
    assert len(calls(http)) == 4


def test_components_are_asked_for_again_after_a_while(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Five minutes later."""
    http.get(f"{API}/project/OPS/components", [{"json": []}, {"json": [{"name": "A"}]}])
    now = [0.0]
    components = Components(tickets_of().jira, "OPS", clock=lambda: now[0])
    assert components.named("a", call) is None
    now[0] = KEPT_S - 1
    assert components.named("a", call) is None
    now[0] = KEPT_S
    assert components.named("a", call) == "A"
    assert http.call_count == 2


def test_a_search_reconciles_what_was_just_written(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """The same ids go with every page."""
    http.post(ISSUE, status_code=201, json={"id": "10007", "key": "OPS-7"})
    http.get(f"{ISSUE}/OPS-7", json=an_issue(7))
    http.put(f"{ISSUE}/OPS-8", status_code=204)
    http.get(f"{ISSUE}/OPS-8", json=an_issue(8))
    http.post(SEARCH, [{"json": page(nextPageToken="T")}, {"json": page()}])
    provider = tickets_of()
    provider.create({"title": "new"}, call)
    provider.update({"id": "OPS-8", "input": {"title": "other"}}, call)
    provider.query({}, call)
    bodies = [sent(r) for r in http.request_history if r.url == SEARCH]
    assert [body["reconcileIssues"] for body in bodies] == [[10007, 10008]] * 2


def test_only_the_newest_writes_of_the_last_minutes_are_kept() -> None:
    """At most as many as a search takes."""
    now = [0.0]
    recent = RecentIssues(clock=lambda: now[0])
    for number in range(MOST + 5):
        recent.add(str(number))
    recent.add("7")
    recent.add("OPS-1")
    recent.add("1" * 5000)
    assert recent.ids() == [*range(5, 7), *range(8, MOST + 5), 7]
    now[0] = 299.0
    recent.add("1")
    now[0] = 301.0
    assert recent.ids() == [1]


@pytest.mark.case("jira", 9)
def test_an_issue_is_read(http: requests_mock.Mocker, tickets_of: Build, call: Call) -> None:
    """Times in UTC, the description as Markdown, the page for people."""
    nested = {
        "type": "bulletList",
        "content": [
            {
                "type": "listItem",
                "content": [
                    paragraph("a"),
                    {
                        "type": "bulletList",
                        "content": [{"type": "listItem", "content": [paragraph("b")]}],
                    },
                ],
            }
        ],
    }
    code = {
        "type": "codeBlock",
        "attrs": {"language": "sh"},
        "content": [{"type": "text", "text": "ls\nrm"}],
    }
    mention = {"type": "mention", "attrs": {"id": "1", "text": "@Ann"}}
    description = doc(paragraph("Hi ", mention), nested, code)
    created = "2025-11-21T10:00:00.000+0100"
    http.get(f"{ISSUE}/OPS-1", json=an_issue(created=created, description=description))
    ticket = tickets_of().get({"id": " ops-1 "}, call)
    assert ticket["createdAt"] == "2025-11-21T09:00:00Z"
    assert ticket["description"] == "Hi @Ann\n\n- a\n  - b\n\n```sh\nls\nrm\n```"
    assert ticket["url"] == f"{SITE}/browse/OPS-1"
    assert http.last_request.qs["fields"] == [",".join(FIELDS)]


def test_an_issue_is_read_by_its_number(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Jira takes both."""
    http.get(f"{ISSUE}/10001", json=an_issue())
    assert tickets_of().get({"id": "10001"}, call)["key"] == "OPS-1"


@pytest.mark.case("jira", 10)
@pytest.mark.parametrize(
    "name", ["../myself", "", " ", "OPS", "OPS-1/../2", "1-2", "OPS-1?x", "OPS-١", "١", None, 5]
)
def test_an_odd_id_is_refused_without_a_call(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, name: Any
) -> None:
    """For updates, too."""
    with pytest.raises(BadRequest, match="id"):
        tickets_of().get({"id": name}, call)
    with pytest.raises(BadRequest, match="id"):
        tickets_of().update({"id": name, "input": {"title": "x"}}, call)
    assert http.call_count == 0


@pytest.mark.case("jira", 11)
def test_a_missing_issue_is_not_found(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Jira says the same where permission lacks, and so does the message."""
    body = {"errorMessages": ["Issue does not exist."], "errors": {}}
    http.get(f"{ISSUE}/OPS-9", status_code=404, json=body)
    with pytest.raises(NotFound, match=r"Issue does not exist.*no permission"):
        tickets_of().get({"id": "OPS-9"}, call)


@pytest.mark.parametrize("body", [{}, {"id": "1"}, {"id": 1, "key": "OPS-1"}, []])
def test_an_issue_without_identity_is_no_issue(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, body: Any
) -> None:
    """A single one cannot be left out."""
    http.get(f"{ISSUE}/OPS-1", json=body)
    with pytest.raises(ProviderError, match="unexpected response"):
        tickets_of().get({"id": "OPS-1"}, call)


GATEWAY = "https://api.atlassian.com/ex/jira/cloud-1"


def test_behind_the_gateway_links_lead_to_the_site(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Its address is asked for once, and asked for again where that failed."""
    http.get(f"{GATEWAY}/rest/api/3/issue/OPS-1", json=an_issue())
    info = f"{GATEWAY}/rest/api/3/serverInfo"
    http.get(info, [{"status_code": 500}, {"json": {"baseUrl": "https://team.test/"}}])
    provider = tickets_of(apiURL=f"{GATEWAY}/")
    assert "url" not in provider.get({"id": "OPS-1"}, call)
    for _ in range(2):
        assert provider.get({"id": "OPS-1"}, call)["url"] == "https://team.test/browse/OPS-1"
    assert [r.url for r in http.request_history].count(info) == 2


def test_a_configured_site_wins(http: requests_mock.Mocker, tickets_of: Build, call: Call) -> None:
    """Nothing is asked for."""
    http.get(f"{GATEWAY}/rest/api/3/issue/OPS-1", json=an_issue())
    provider = tickets_of(apiURL=GATEWAY, siteURL="https://jira.team.test/")
    assert provider.get({"id": "OPS-1"}, call)["url"] == "https://jira.team.test/browse/OPS-1"
    assert http.call_count == 1


def test_check_names_missing_permissions(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Reading and writing apart."""
    http.get(f"{API}/myself", json={"accountId": "acc-me"})
    had = {"BROWSE_PROJECTS": {"havePermission": True}, "EDIT_ISSUES": {"havePermission": True}}
    http.get(f"{API}/mypermissions", json={"permissions": had})
    account, read, write = tickets_of().check(call)
    assert account.ok and read.ok and not write.ok
    assert "CREATE_ISSUES, TRANSITION_ISSUES, ASSIGN_ISSUES, ADD_COMMENTS" in write.message
    assert http.last_request.qs["projectKey"] == ["OPS"]

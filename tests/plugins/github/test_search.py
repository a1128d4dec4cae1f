"""Words of a caller stay words: the search query and the paths, whatever is written."""

import contextlib
import re
import string
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
import requests_mock
from hypothesis import given
from hypothesis import strategies as st

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, NotFound
from opsorch.plugin import Call
from opsorch_plugins.github.provider import GitHubDeployments, GitHubTeams, GitHubTickets
from opsorch_plugins.github.search import MAX_TEXT, can_quote, login_qualifier, safe_terms
from opsorch_plugins.github.ticket_filter import filter_of
from tests.fakes.github import words_of
from tests.plugins.github.support import TOKEN, sent

SETTINGS = {"owner": "acme", "repo": "web"}
FIXED = [("repo", "acme/web"), ("is", "issue"), ("in", "title,body")]

# What has a meaning in a search, beside anything at all.
HOSTILE = st.lists(
    st.sampled_from(
        [
            *'"\\:-()[]{}<>*#@+.,\t\n\u200b\u00a0“”：－',
            *("AND", "or", "Not", "repo:acme/secret", "is:pr", "-label:x", "org:acme", "a", "b "),
            *('"repo:', "re", "po:x/y", "user:", "state:closed", "..", "/", "%2e", "\\"),
        ]
    ),
    max_size=12,
).map("".join)
TEXT = st.one_of(HOSTILE, st.text(max_size=60))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("crash on start", "crash on start"),
        ("repo:acme/secret", '"repo:acme/secret"'),
        ('re"po:x', '"repo:x"'),
        ("-crash", '"-crash"'),
        ("(a OR b) AND not NOT", 'a "OR" b "AND" "not" "NOT"'),
        ("A(ND", '"AND"'),
        ('ends:with\\" repo:x', '"ends:with" "repo:x"'),
        ("a\u200b-b\tc\x00d", 'a "-b" c d'),
        ("“smart” quotes", "smart quotes"),
        ("repo：x －y", '"repo：x" "－y"'),
        ('[]{}()"\\', ""),
        ("x" * MAX_TEXT, "x" * MAX_TEXT),
    ],
)
def test_risky_words_are_quoted(text: str, terms: str) -> None:
    """A word that GitHub would read as more than a word stands in quotes."""
    assert safe_terms(text) == terms


@pytest.mark.parametrize("text", ["x" * (MAX_TEXT + 1), "a:b " * 60])
def test_a_text_beyond_what_github_takes_is_refused(text: str) -> None:
    """The quotes count, too."""
    with pytest.raises(BadRequest, match="256 characters"):
        safe_terms(text)


@pytest.mark.parametrize("label", ['a"b', "a\\", "a\nb", "a\x00b", "a\u200bb", "“a”"])
def test_a_label_that_cannot_be_quoted_is_not_sent(label: str) -> None:
    """It would end the quotes, or GitHub might read it otherwise."""
    payload = {"query": "x", "metadata": {"labels": [label, "good first issue"]}}
    asked = filter_of(payload, SETTINGS)
    assert asked.labels == (label, "good first issue")
    assert asked.search_parameters()["q"].endswith('title,body label:"good first issue"')


def test_logins_of_apps_have_another_form_in_searches() -> None:
    """The list takes the suffix, the search the prefix."""
    assert login_qualifier("author", "ci[bot]") == "author:app/ci"
    assert login_qualifier("author", "ann") == "author:ann"


@given(TEXT)
def test_no_text_adds_a_qualifier_or_an_operator(text: str) -> None:
    """Another reader of the query finds our qualifiers and plain words, no more."""
    try:
        terms = filter_of({"query": text}, SETTINGS)
    except BadRequest:
        return
    if not terms.terms:
        assert not text.strip()
        return
    words, qualifiers = words_of(terms.search_parameters()["q"])
    assert qualifiers == FIXED
    letters = [c for c in text if c.isprintable() and not c.isspace() and c not in '"\\()[]{}“”„']
    assert "".join(words) == "".join(letters)


@given(TEXT, st.lists(TEXT, max_size=3), TEXT, TEXT)
def test_no_label_or_login_adds_a_qualifier(
    query: str, labels: list[str], assignee: str, reporter: str
) -> None:
    """They are in their own qualifiers, or not in the query at all."""
    payload: dict[str, Any] = {
        "query": f"crash {query}",
        "metadata": {"labels": labels},
        "assignees": [assignee],
        "reporter": reporter,
    }
    try:
        asked = filter_of(payload, SETTINGS)
    except BadRequest:
        return
    expected = [*FIXED]
    expected += [
        ("no", "assignee") if name == "unassigned" else ("assignee", _in_search(name))
        for name in asked.assignees
    ]
    expected += [("author", _in_search(asked.reporter))] if asked.reporter else []
    expected += [("label", label) for label in asked.labels if can_quote(label)]
    _, qualifiers = words_of(asked.search_parameters()["q"])
    assert qualifiers == expected


def _in_search(login: str) -> str:
    return f"app/{login.removesuffix('[bot]')}" if login.endswith("[bot]") else login


LOGIN = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,10}(\[bot\])?", fullmatch=True)


@given(st.lists(LOGIN, min_size=1, max_size=1), LOGIN, st.lists(st.text(string.printable)))
def test_logins_that_fit_reach_the_query(
    assignees: list[str], reporter: str, labels: list[str]
) -> None:
    """The property above is not kept by refusing everything."""
    payload = {
        "query": "crash",
        "assignees": assignees,
        "reporter": reporter,
        "metadata": {"labels": labels},
    }
    words, qualifiers = words_of(filter_of(payload, SETTINGS).search_parameters()["q"])
    assert words == ["crash"]
    names = [name for name, _ in qualifiers]
    assert names[:3] == ["repo", "is", "in"]
    assert names[3] in ("assignee", "no") and names[4] == "author"


def asked_paths(provider: Any, calls: Callable[[Any, Call], Any]) -> list[str]:
    """The paths of the requests that a call makes; each is answered with 404, once."""
    provider.github.upstream._sleep = lambda _: None
    with requests_mock.Mocker() as http:
        http.register_uri(requests_mock.ANY, requests_mock.ANY, status_code=404)
        # A search of the teams of an unknown repository is empty, all else is refused.
        with contextlib.suppress(BadRequest, NotFound):
            calls(provider, Call(Deadline.after(30.0)))
        history: list[Any] = http.request_history
        assert all(request.url.startswith("https://api.github.com/") for request in history)
        return [urllib.parse.urlsplit(request.url).path for request in history]


IDS = st.one_of(TEXT, st.integers().map(str), st.sampled_from(["../..", "a/b", "%2e%2e", "..;/x"]))


@given(IDS)
def test_no_id_of_a_ticket_changes_the_path(wanted: str) -> None:
    """A number of the configured repository, or nothing is asked."""
    provider = GitHubTickets({"token": TOKEN, **SETTINGS})
    for path in asked_paths(provider, lambda p, call: p.get({"id": wanted}, call)):
        assert re.fullmatch(r"/repos/acme/web/issues/[0-9]+", path)


@given(IDS)
def test_no_id_of_a_deployment_changes_the_path(wanted: str) -> None:
    """A number of the configured repository, or nothing is asked."""
    provider = GitHubDeployments({"token": TOKEN, **SETTINGS})
    for path in asked_paths(provider, lambda p, call: p.get({"id": wanted}, call)):
        assert re.fullmatch(r"/repos/acme/web/actions/runs/[0-9]+", path)


@given(IDS, st.sampled_from(["", ".yml", ".yaml"]))
def test_no_name_of_a_workflow_changes_the_path(name: str, ending: str) -> None:
    """One part of the path, or a comparison here."""
    provider = GitHubDeployments({"token": TOKEN, **SETTINGS})
    payload = {"metadata": {"workflow": name + ending}}
    for path in asked_paths(provider, lambda p, call: p.query(payload, call)):
        assert re.fullmatch(r"/repos/acme/web/actions/(workflows/[^/]+/)?runs", path)


@given(IDS)
def test_no_id_of_a_team_changes_the_path(wanted: str) -> None:
    """One part of the path of the configured organization, or nothing is asked."""
    provider = GitHubTeams({"token": TOKEN, "organization": "acme"})
    for path in asked_paths(provider, lambda p, call: p.get({"id": wanted}, call)):
        assert re.fullmatch(r"/orgs/acme(/teams/[^/]+)?", path)
    for path in asked_paths(provider, lambda p, call: p.members({"teamID": wanted}, call)):
        assert re.fullmatch(r"/orgs/acme(/teams/[^/]+/members)?", path)


@given(IDS)
def test_no_service_changes_the_path_of_teams(service: str) -> None:
    """A repository of the configured organization, or nothing is asked."""
    provider = GitHubTeams({"token": TOKEN, "organization": "acme"})
    payload = {"scope": {"service": service}}
    for path in asked_paths(provider, lambda p, call: p.query(payload, call)):
        assert re.fullmatch(r"/repos/acme/[A-Za-z0-9._-]+/teams|/orgs/acme/teams", path)


@given(TEXT)
def test_no_value_adds_a_parameter(text: str) -> None:
    """Values of the list of runs are encoded, whatever is in them."""
    with requests_mock.Mocker() as http:
        http.get(requests_mock.ANY, json={"workflow_runs": []})
        provider = GitHubDeployments({"token": TOKEN, **SETTINGS})
        payload = {"metadata": {"branch": text, "event": "push"}}
        assert provider.query(payload, Call(Deadline.after(30.0))) == []
        expected = {"event": "push", "per_page": "100"}
        if text.strip():
            expected["branch"] = text.strip()
        assert sent(http.last_request) == expected

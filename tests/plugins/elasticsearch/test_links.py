"""Links: balanced Rison that decodes to what was asked, and Lucene that a parser reads."""

import re
import urllib.parse
from collections.abc import Callable
from typing import Any

import luqum.thread
import pytest
import requests_mock
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch.plugin import Call
from opsorch_plugins.elasticsearch.concepts import CANDIDATES
from opsorch_plugins.elasticsearch.conditions import OPERATORS, Reader
from opsorch_plugins.elasticsearch.links import EARLIEST, Links, rison_text
from opsorch_plugins.elasticsearch.lucene import escape, lucene_of
from opsorch_plugins.elasticsearch.provider import ElasticsearchLogs
from opsorch_plugins.elasticsearch.window import Window
from tests.fakes.elasticsearch import Index, State, lucene_test, seeded
from tests.plugins.elasticsearch.support import SEARCH, Json, answer, hits

Build = Callable[..., ElasticsearchLogs]

KIBANA = "https://kibana.test/base"
READER = Reader(CANDIDATES, "@timestamp")


def rison(text: str) -> Any:
    """Decode Rison, all of it; a small reader of the forms that links have."""
    value, rest = _value(text)
    assert rest == "", rest
    return value


def _value(text: str) -> tuple[Any, str]:
    if text.startswith("'"):
        match = re.match(r"'((?:[^'!]|!['!])*)'", text)
        assert match, text
        return re.sub(r"!(.)", r"\1", match[1]), text[match.end() :]
    if text.startswith("!("):
        found, rest = [], text[2:]
        while not rest.startswith(")"):
            item, rest = _value(rest.removeprefix(","))
            found.append(item)
        return found, rest[1:]
    if text.startswith("("):
        table, rest = {}, text[1:]
        while not rest.startswith(")"):
            key, rest = _value(rest.removeprefix(","))
            table[key], rest = _value(rest.removeprefix(":"))
        return table, rest[1:]
    match = re.match(r"[^\s'!(),:@$*&]+", text)
    assert match, text
    return match[0], text[match.end() :]


def states(url: str) -> tuple[Json, Json]:
    """The two states of a link."""
    assert re.fullmatch(r"[\x21-\x7e]+", url)
    query = urllib.parse.urlsplit(url).fragment.partition("?")[2]
    pairs = dict(part.split("=", 1) for part in query.split("&"))
    assert set(pairs) == {"_g", "_a"}
    return rison(urllib.parse.unquote(pairs["_g"])), rison(urllib.parse.unquote(pairs["_a"]))


@pytest.mark.case("elasticsearch", 19)
def test_a_link_opens_the_same_query(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Quotes, exclamation marks, apostrophes and blanks in the search and the data view."""
    http.post(SEARCH, json=answer(hits(1)))
    provider = logs_of(kibanaURL=f"{KIBANA}/", kibanaSpace="ops", dataViewID="it's! a 'view'")
    payload = {
        "expression": {
            "search": 'it\'s "so bad"! OR worse',
            "severityIn": ["error"],
            "filters": [{"field": "path", "operator": "!=", "value": 'a"b'}],
        },
        "scope": {"service": "api", "team": "payments"},
        "start": "2024-05-06T06:00:00Z",
        "end": "2024-05-06T07:00:00Z",
    }
    result = provider.query(payload, call)
    assert result["url"].startswith(f"{KIBANA}/s/ops/app/discover#/?_g=")
    time, ours = states(result["url"])
    assert time == {"time": {"from": "2024-05-06T06:00:00Z", "to": "2024-05-06T07:00:00Z"}}
    assert ours["index"] == "it's! a 'view'"
    assert ours["sort"] == [["@timestamp", "desc"]]
    assert ours["query"]["language"] == "lucene"
    lucene = ours["query"]["query"]
    assert luqum.thread.parse(lucene)
    for part in ('"so bad"', "worse", "severity:", "ERR", 'service.name:"api"', "team:", r"a\"b"):
        assert part in lucene
    document = result["entries"][0]["metadata"]["url"]
    view = urllib.parse.quote("it's! a 'view'", safe="")
    assert document == f"{KIBANA}/s/ops/app/discover#/doc/{view}/logs-a?id=h0"


def test_without_kibana_there_is_no_link(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Elasticsearch's own port shows nothing to people."""
    http.post(SEARCH, json=answer(hits(1)))
    result = logs_of().query({}, call)
    assert "url" not in result and "url" not in result["entries"][0]["metadata"]


def test_opensearch_dashboards_have_another_page(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """With the same states; without a lower bound the link has one."""
    http.post(SEARCH, json=answer())
    config = {"dashboardsURL": KIBANA, "flavor": "opensearch", "defaultLookbackSeconds": 0}
    url = logs_of(**config).query({}, call)["url"]
    assert url.startswith(f"{KIBANA}/app/data-explorer/discover#?_g=")
    time, ours = states(url)
    assert time["time"]["from"] == EARLIEST
    assert (ours["index"], ours["query"]["query"]) == ("logs-*", "*")


def test_a_link_that_is_too_long_is_none() -> None:
    """Browsers and proxies would cut it."""
    links = Links(KIBANA, "v", "@timestamp")
    window = Window(None, "2024-05-06T07:00:00Z")
    assert links.query(window, "x" * 20_000, opensearch=False) == ""


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ('a+b-c=d&e|f!g(h){i}[j]^"k~l*m?n:o\\p/q', None),
        ("<5>", "5"),
        ("a b", r"a\ b"),
        ("AND", r"\AND"),
        ("plain", "plain"),
    ],
)
def test_lucene_text_is_literal(text: str, escaped: str | None) -> None:
    """Every special character gets a backslash; angle brackets cannot have one and go."""
    expected = escaped or re.sub(r"([^a-z])", r"\\\1", text)
    assert escape(text) == expected


CLUSTER = seeded(120)
# To Lucene an apostrophe is a letter like others, and a backslash takes a line end along. The
# parser here lets no term begin with the one, nor a line end behind the other.
harmless = st.characters(exclude_categories=("Cs",), exclude_characters="'\n")
hostile = st.lists(
    st.sampled_from([*'()"+-|*?\\/:!&{}[]^~<>=', "AND", "OR", "NOT", "TO", "timeout", " "])
    | st.text(harmless, max_size=6),
    max_size=8,
).map("".join)


@pytest.mark.case("elasticsearch", 19)
@settings(max_examples=200, deadline=None)
@given(search=hostile, value=hostile, operator=st.sampled_from(sorted(OPERATORS)))
def test_the_text_of_any_query_parses_and_stays_in_its_place(
    search: str, value: str, operator: str
) -> None:
    """A parser reads it, and the scope behind it still holds."""
    entry = {"field": "host.name", "operator": operator, "value": f"x{value}"}
    payload = {"scope": {"service": "api"}, "expression": {"filters": [entry]}}
    text = lucene_of(READER.conditions(payload), "simple", search)
    tree = luqum.thread.parse(text)
    assert str(tree) == text
    needed = lucene_of(READER.conditions({"scope": payload["scope"]}), "simple", "")
    # Each part of the conjunction is one group: the scope is a child of the root.
    assert needed.strip() in {str(child).strip() for child in getattr(tree, "children", [tree])}
    assert rison(rison_text(text)) == text


def found_by(text: str, state: State) -> set[str]:
    def of(index: Index) -> set[str]:
        test = lucene_test(luqum.thread.parse(text), index, "or")
        return {document.id for document in index.documents if test(document)}

    return set().union(*(of(index) for index in state.indices))


@pytest.mark.parametrize(
    ("search", "same"),
    [
        ("timeout refused", "timeout AND refused"),
        ("timeout OR refused", "timeout OR refused"),
        ("request -timeout", "request AND NOT timeout"),
        ("NOT timeout", "*:* AND NOT timeout"),
        ("disk (full | cache) volume", "disk AND (full OR cache) AND volume"),
        ("timeout | refused bank", "(timeout OR refused) AND bank"),
        ('"logged in" |', '"logged in"'),
        ("refus*", "refus*"),
        ("((timeout", "timeout"),
        ("--timeout", "timeout"),
        (") + timeout", "timeout"),
    ],
)
def test_simple_searches_mean_the_same_in_links(search: str, same: str) -> None:
    """Both texts find the same documents."""
    shown = lucene_of([], "simple", search)
    assert found_by(shown, CLUSTER) == found_by(same, CLUSTER)
    assert found_by(shown, CLUSTER) or "refused" in search or "cache" in search


def test_searches_of_other_modes_in_links() -> None:
    """Lucene as it is, a text as a phrase."""
    assert lucene_of([], "lucene", " a:b OR c ") == "(a:b OR c)"
    assert lucene_of([], "text", 'say "x" \\') == '"say \\"x\\" \\\\"'
    assert lucene_of([], "simple", "()") == "*"


@pytest.mark.parametrize(
    ("operator", "value", "text"),
    [
        ("=", 'a"b', r'x:"a\"b"'),
        ("in", "a,b", 'x:("a" OR "b")'),
        ("contains", "a*b", r"x:*a\*b*"),
        ("prefix", "a b", r"x:a\ b*"),
        ("regex", "^/a$", r"x:/\/a/"),
        (">", "5", 'x:{"5" TO *]'),
        (">=", "5", 'x:["5" TO *]'),
        ("<", "5", 'x:[* TO "5"}'),
        ("<=", "5", 'x:[* TO "5"]'),
        ("exists", "", "_exists_:x"),
        ("!=", "a", '(*:* AND NOT x:"a")'),
    ],
)
def test_conditions_in_links(operator: str, value: str, text: str) -> None:
    """Each operator has its form."""
    entry = {"field": "x", "operator": operator, "value": value}
    assert lucene_of(READER.conditions({"expression": {"filters": [entry]}}), "text", "") == text

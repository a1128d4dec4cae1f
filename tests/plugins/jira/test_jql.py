"""What is written as JQL reads back as what was meant, whatever the values hold."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opsorch.errors import BadRequest
from opsorch.plugin import Call
from opsorch_plugins.jira.components import Components
from opsorch_plugins.jira.jql import quoted, raw_clause, text_clause
from opsorch_plugins.jira.people import People
from opsorch_plugins.jira.provider import JiraTickets
from opsorch_plugins.jira.query import CATEGORY_CLAUSE, MatchesNothing, QueryWriter
from tests.fakes.jira_jql import Clause, Group, JqlError, parse, terms_of, tokens_of
from tests.plugins.jira.support import CONFIG

Json = dict[str, Any]


class Everybody(People):
    """An address is its own account id."""

    def __init__(self) -> None:
        pass

    def id_of(self, person: str) -> str:
        return person


class OneComponent(Components):
    """The project has one component."""

    def __init__(self) -> None:
        pass

    def named(self, name: str, call: Call) -> str | None:
        return "Checkout" if name.strip().lower() == "checkout" else None


def written(payload: Json, **config: Any) -> str:
    provider = JiraTickets({**CONFIG, **config})
    writer = QueryWriter(provider.settings, Everybody(), OneComponent(), Call())
    return writer.jql(payload)


def clauses_of(jql: str) -> list[Clause | Group]:
    """The parts that are joined by AND."""
    query = parse(jql)
    assert query.order == (("key", "desc"),)
    where = query.where
    return list(where.parts) if isinstance(where, Group) and where.operator == "and" else [where]


HOSTILE = st.one_of(
    st.text(max_size=30),
    st.text(st.sampled_from("\\\"' ()[],=~!<>\nabORDNT*?-+&|{}^:/\u2028\x00\ud800"), max_size=20),
    st.sampled_from(['" OR project = "SECRET', "\\", '\\"', "a\\\\", "x\\' OR 1=1", "') OR ("]),
)


def _as_kept(value: str) -> str:
    """A value as a quoted string holds it: what does not print is a space."""
    hidden = {*map(chr, range(32)), *map(chr, range(127, 160)), "\u2028", "\u2029"}
    return "".join(" " if c in hidden or 0xD800 <= ord(c) <= 0xDFFF else c for c in value)


@settings(max_examples=500, deadline=None)
@given(HOSTILE)
def test_a_value_stays_in_its_quotes(value: str) -> None:
    """The whole value is one string token, and nothing else comes of it."""
    [token] = tokens_of(quoted(value))
    assert (token.kind, token.text) == ("string", _as_kept(value))


@pytest.mark.case("jira", 5)
@settings(max_examples=500, deadline=None)
@given(HOSTILE)
@example("foo AND")
@example("NOT")
def test_a_text_search_is_words_only(words: str) -> None:
    """No operator, wildcard or field of a text search comes out of a query."""
    [field, operator, text] = tokens_of(text_clause(words))
    assert (field.text, operator.kind, text.kind) == ("text", "~", "string")
    terms_of(text.text)


# A half of a surrogate pair is refused before anything is written.
SENDABLE = HOSTILE.map(lambda text: "".join(c for c in text if not "\ud800" <= c <= "\udfff"))


@pytest.mark.case("jira", 4)
@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "query": SENDABLE,
            "statuses": st.lists(
                st.one_of(SENDABLE, st.sampled_from([*CATEGORY_CLAUSE])), max_size=3
            ),
            "assignees": st.lists(st.one_of(SENDABLE, st.sampled_from(["me", ""])), max_size=3),
            "reporter": SENDABLE,
            "scope": st.fixed_dictionaries(
                {}, optional=dict.fromkeys(("service", "team", "environment"), SENDABLE)
            ),
            "metadata": st.fixed_dictionaries(
                {},
                optional=dict.fromkeys(
                    ("labels", "issueTypes", "priorities", "components"),
                    st.one_of(SENDABLE, st.lists(SENDABLE, max_size=2)),
                ),
            ),
        },
    )
)
def test_no_input_leaves_its_clause(payload: Json) -> None:
    """The query has exactly the clauses that were asked for, of the fields that they are about."""
    scope_fields = {"team": "cf[10]", "environment": "labels"}
    clauses = clauses_of(written(payload, scopeFields=scope_fields))
    assert clauses[0] == Clause("project", "=", ("OPS",))
    fields = [_fields(clause) for clause in clauses[1:]]
    assert fields == _expected(payload)


def _fields(node: Clause | Group) -> set[str]:
    if isinstance(node, Clause):
        return {node.field}
    assert node.operator == "or"
    return set().union(*(_fields(part) for part in node.parts))


def _expected(payload: Json) -> list[set[str]]:
    """Which fields the clauses are about, told from the payload alone."""
    found: list[set[str]] = []
    if payload.get("query", "").strip():
        found.append({"text"})
    statuses = [s.strip() for s in payload.get("statuses", []) if s.strip()]
    if statuses:
        words = {"statuscategory" if s in CATEGORY_CLAUSE else "status" for s in statuses}
        found.append(words)
    if payload.get("assignees"):
        found.append({"assignee"})
    if payload.get("reporter", "").strip():
        found.append({"reporter"})
    for part, field in (("service", None), ("team", "cf[10]"), ("environment", "labels")):
        value = payload.get("scope", {}).get(part, "").strip()
        if value:
            service = "component" if value.lower() == "checkout" else "labels"
            found.append({field or service})
    metadata = payload.get("metadata", {})
    given = {k: [v] if isinstance(v, str) else v for k, v in metadata.items()}
    texts = {k: [v for v in values if v.strip()] for k, values in given.items()}
    found += [{"labels"}] * len(texts.get("labels", []))
    names = {"issueTypes": "issuetype", "priorities": "priority", "components": "component"}
    found += [{field} for name, field in names.items() if texts.get(name)]
    return found


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        HOSTILE,
        st.lists(
            st.sampled_from(
                [
                    *("(", ")", '"', "'", "\\", "[", "]", " OR ", " AND ", "project = SECRET", "x"),
                    *(" order by ", "ORDER BY key", "summary ~ ", '"a"', "'b'", '\\"', "cf[1] = 2"),
                ]
            ),
            max_size=10,
        ).map("".join),
    )
)
@example('summary ~ \\" ) OR project = SECRET OR (summary ~ \\"')
@example("x) OR (project = SECRET")
@example("project = SECRET ORDER BY key")
def test_raw_jql_cannot_leave_its_brackets(raw: str) -> None:
    """It is refused, or stays one clause that is ANDed with the project."""
    try:
        clause = raw_clause(raw)
    except BadRequest:
        return
    if not clause:
        return
    try:
        clauses = clauses_of(f'project = "OPS" AND {clause} ORDER BY key DESC')
    except JqlError:
        # Jira refuses it as well: nothing is found, nothing leaks.
        return
    assert clauses[0] == Clause("project", "=", ("OPS",))
    inner = parse(f"{clause}").where
    flat = list(inner.parts) if isinstance(inner, Group) and inner.operator == "and" else [inner]
    assert clauses[1:] in ([inner], flat)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("status = Done ORDER BY created", "ORDER BY"),
        ("status = Done order\n by created", "ORDER BY"),
        ("(status = Done", "not closed"),
        ("status = Done)", "not opened"),
        ("x) OR (project = A", "not opened"),
        ("(cf[1) = 2]", "not opened"),
        ('summary ~ "a', "quote is not closed"),
        ("summary ~ 'a\\'", "quote is not closed"),
        ('summary ~ \\"a', "quote is not closed"),
        ("summary ~ a\\ b", "backslash"),
    ],
)
def test_unfit_raw_jql_is_refused(raw: str, reason: str) -> None:
    """With the reason."""
    with pytest.raises(BadRequest, match=reason):
        raw_clause(raw)


def test_raw_jql_is_bracketed() -> None:
    """Words in quotes are no syntax."""
    raw = "summary ~ \"order by (\" OR status = 'it\\'s)'"
    assert raw_clause(raw) == f"({raw})"
    metadata = {"jql": "status = Done OR project = SECRET"}
    jql = written({"metadata": metadata}, allowRawJQL=True)
    assert jql == f'project = "OPS" AND ({metadata["jql"]}) ORDER BY key DESC'
    assert raw_clause("  ") == ""


def test_raw_jql_needs_leave() -> None:
    """The setting is named."""
    with pytest.raises(BadRequest, match="allowRawJQL"):
        written({"metadata": {"jql": "status = Done"}})


@pytest.mark.case("jira", 4)
def test_quotes_and_backslashes_are_escaped_twice_in_text() -> None:
    """Once for the text search, once for the string; the reporter stays inside its quotes."""
    jql = written({"query": 'say "hi" \\', "reporter": '" OR project = X'})
    assert jql == (
        'project = "OPS" AND text ~ "say \\\\\\"hi\\\\\\" \\\\\\\\"'
        ' AND reporter = "\\" OR project = X" ORDER BY key DESC'
    )
    assert clauses_of(jql)[2] == Clause("reporter", "=", ('" OR project = X',))


@pytest.mark.case("jira", 5)
def test_characters_with_a_meaning_in_text_are_escaped() -> None:
    """And operators become words."""
    jql = written({"query": "foo(bar* AND"})
    assert 'text ~ "foo\\\\(bar\\\\* and"' in jql
    [_, clause] = clauses_of(jql)
    assert isinstance(clause, Clause)
    assert terms_of(clause.values[0]) == ["foo", "bar", "and"]


@pytest.mark.case("jira", 6)
def test_statuses_are_names_and_categories() -> None:
    """A word in small letters is a category, anything else the name of a status."""
    jql = written({"statuses": ["To Do", "done"]})
    assert '(status IN ("To Do") OR statusCategory = Done)' in jql
    assert 'AND status IN ("To Do","In Progress") ORDER' in written(
        {"statuses": ["To Do", "In Progress", "To Do", " "]}
    )


@pytest.mark.parametrize(
    ("word", "clause"),
    [
        ("open", "statusCategory != Done"),
        ("todo", 'statusCategory = "To Do"'),
        ("new", 'statusCategory = "To Do"'),
        ("in_progress", 'statusCategory = "In Progress"'),
        ("closed", "statusCategory = Done"),
        ("resolved", "statusCategory = Done"),
        ("done", "statusCategory = Done"),
        ("Done", 'status IN ("Done")'),
    ],
)
def test_each_status_word(word: str, clause: str) -> None:
    """Alone it needs no brackets."""
    assert written({"statuses": [word]}) == f'project = "OPS" AND {clause} ORDER BY key DESC'


def test_assignees_and_reporter() -> None:
    """People, the caller and nobody."""
    jql = written({"assignees": ["a", "me", ""], "reporter": "me"})
    assert '(assignee IN ("a") OR assignee = currentUser() OR assignee IS EMPTY)' in jql
    assert "AND reporter = currentUser() " in jql


def test_scope_goes_where_the_settings_say() -> None:
    """Components as Jira spells them, labels with and without prefix, custom fields."""
    scope = {"service": "CHECKOUT", "team": "core", "environment": "prod"}
    jql = written({"scope": scope}, scopeFields={"team": "cf[10020]"})
    assert 'component = "Checkout" AND cf[10020] = "core" AND labels IN ("prod","env:prod")' in jql
    jql = written({"scope": {"service": "other", "team": "core"}})
    assert 'labels IN ("other","service:other") AND labels IN ("core","team:core")' in jql
    labels = written({"scope": {"service": "checkout"}}, scopeFields={"service": "labels"})
    assert 'labels IN ("checkout","service:checkout")' in labels
    with pytest.raises(MatchesNothing):
        written({"scope": {"team": "none"}}, scopeFields={"team": "component"})


def test_metadata_filters() -> None:
    """Strings and lists alike."""
    metadata = {
        "labels": ["a", "b"],
        "issueTypes": "Bug",
        "priorities": ["High", "Low"],
        "components": ["Web"],
        "updatedWithin": "-7d",
    }
    assert written({"metadata": metadata}) == (
        'project = "OPS" AND labels = "a" AND labels = "b" AND issuetype IN ("Bug")'
        ' AND priority IN ("High","Low") AND component IN ("Web") AND updated >= -7d'
        " ORDER BY key DESC"
    )


@pytest.mark.parametrize("age", ["7d", "-7y", "-d", "-7d OR 1=1", "-٧d"])
def test_an_unfit_age_is_refused(age: str) -> None:
    """The form is told."""
    with pytest.raises(BadRequest, match=r"updatedWithin must be like"):
        written({"metadata": {"updatedWithin": age}})


@pytest.mark.parametrize(
    "payload",
    [
        {"metadata": {"labels": [1]}},
        {"metadata": {"labels": {"a": 1}}},
        {"metadata": {"jql": 1}},
        {"metadata": []},
        {"statuses": "open"},
        {"query": 1},
        {"scope": {"team": 1}},
    ],
)
def test_wrong_types_are_refused(payload: Json) -> None:
    """Before any call."""
    with pytest.raises(BadRequest, match="must be"):
        written(payload)


def test_blank_parts_add_no_clause() -> None:
    """Only the project is left."""
    payload = {"query": "  ", "statuses": [], "assignees": [], "scope": {"team": " "}}
    assert written(payload) == 'project = "OPS" ORDER BY key DESC'
    assert 'text ~ "login bug"' in written({"query": " login bug "})

"""Whatever is searched for, filtered by or scoped to: it stays what it is, and the scope holds."""

import string
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opsorch.errors import BadRequest
from opsorch_plugins.datadog.log_query import search_of
from opsorch_plugins.datadog.log_syntax import escaped, literal_word, quoted, simple_search
from opsorch_plugins.datadog.metric_query import expression_of
from opsorch_plugins.datadog.settings import TAG_KEYS
from opsorch_plugins.datadog.tags import normal
from tests.fakes.datadog_query import Malformed, log_test, metric_query

Json = dict[str, Any]

# Half of it the characters that mean something to Datadog.
SYNTAX = st.sampled_from(["AND", "OR", "NOT", "IN", '"', "\\", "(", ")", "-", ":", "*", "@a", " "])
PLAIN = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
LETTERS = st.sampled_from(list(string.ascii_letters + '"\\()-:*?{}[]<>=!&|,#~^+@/.'))
TEXTS = st.lists(st.one_of(SYNTAX, LETTERS, PLAIN), max_size=25).map("".join)
WORDS = st.lists(st.one_of(SYNTAX, TEXTS), max_size=12).map(" ".join)
CASES = settings(max_examples=400, deadline=None)

OTHER: Json = {"message": "a b c", "service": "other", "status": "info", "tags": ["env:dev"]}
OURS: Json = {"message": "a b c", "service": "mine", "status": "info", "tags": ["env:prod"]}
SCOPE = {"service": "mine"}


def log_query(payload: Json, *, raw: bool = False) -> str:
    return search_of(payload, TAG_KEYS, raw=raw)


@CASES
@given(text=WORDS)
@example("a OR b")
@example("x) OR (service:other")
@example('" OR *:* OR "')
@example("a \\")
@example("-")
@example("( ) OR ( ( ) )")
@example("NOT NOT NOT")
@example("OR AND -( a OR )")
def test_a_simple_search_parses_and_never_leaves_the_scope(text: str) -> None:
    """Neither does it widen the scope, nor does an odd one fail."""
    test = log_test(log_query({"expression": {"search": text}, "scope": SCOPE}))
    for message in (text, "a b c", ""):
        assert not test({**OTHER, "message": message})


@CASES
@given(text=WORDS)
@example("a OR b")
@example("a) OR (b")
@example("a \\")
@example('a "')
@example('"(" OR ")"')
@example("\\\\")
def test_a_raw_search_is_refused_or_stays_in_the_scope(text: str) -> None:
    """What Datadog would refuse, it may refuse; nothing is found outside."""
    for payload in ({"expression": {"search": text}}, {"metadata": {"query": text}}):
        try:
            test = log_test(log_query({**payload, "scope": SCOPE}, raw=True))
        except (BadRequest, Malformed):
            # Refused here, or by the language itself.
            continue
        assert not test(OTHER)


@CASES
@given(text=st.one_of(TEXTS, WORDS))
@example('a" OR *:*')
@example("\\")
@example('\\" OR service:other')
def test_a_filter_value_is_one_literal(text: str) -> None:
    """It matches itself and nothing else."""
    if not text.strip():
        return
    filters = [{"field": "@user.name", "operator": "=", "value": text}]
    test = log_test(log_query({"expression": {"filters": filters}, "scope": SCOPE}))
    mine = {**OURS, "attributes": {"user": {"name": text.strip()}}}
    assert test(mine)
    assert not test({**mine, "service": "other"})
    assert not test({**OURS, "attributes": {"user": {"name": f"{text.strip()}x"}}})
    assert not test(OURS)


@CASES
@given(text=st.one_of(TEXTS, WORDS), operator=st.sampled_from(["contains", "not contains"]))
def test_contained_values_are_literal_but_for_blanks(text: str, operator: str) -> None:
    if not text.strip():
        return
    filters = [{"field": "@x", "operator": operator, "value": text}]
    test = log_test(log_query({"expression": {"filters": filters}, "scope": SCOPE}))
    held = {**OURS, "attributes": {"x": f"<{text.strip()}>"}}
    free = {**OURS, "attributes": {"x": "\N{SNOWMAN}"}}
    assert test(held) == (operator == "contains")
    if "\N{SNOWMAN}" not in text and text.strip() != "?":
        assert test(free) == (operator != "contains")
    assert not test({**held, "service": "other"})
    assert not test({**free, "service": "other"})


@CASES
@given(service=st.one_of(TEXTS, WORDS), word=TEXTS)
def test_a_scope_is_one_literal(service: str, word: str) -> None:
    if not service.strip():
        return
    payload = {
        "expression": {"search": "a OR b", "severityIn": [word]},
        "scope": {"service": service, "environment": "prod"},
    }
    test = log_test(log_query(payload))
    status = word.strip() or "info"
    assert test({**OURS, "service": service.strip(), "status": status}) or not word.strip()
    assert not test({**OTHER, "service": f"{service.strip()}x", "status": status})
    assert not test({**OURS, "service": service.strip(), "status": status, "tags": []})


@CASES
@given(text=TEXTS)
def test_words_match_themselves(text: str) -> None:
    """As a word, a phrase, and a part of one."""
    for written in (quoted(text), literal_word(text), escaped(text)):
        if text.strip():
            assert log_test(f"@x:{written}")({"attributes": {"x": text}}) or " " in text


@pytest.mark.parametrize(
    ("search", "query"),
    [
        ("a b", "(a b)"),
        ("a OR b", "(a OR b)"),
        ("a AND (b OR -c)", "(a AND (b OR -c))"),
        ('NOT "b c" d', '(-"b c" d)'),
        ("-(a OR b)", "(-(a OR b))"),
        ("NOT -a", "(a)"),
        ("- a", r"(\- a)"),
        ("a-b", r"(a\-b)"),
        ("--a", r"(-\-a)"),
        ("OR a", '("OR" a)'),
        ("a OR", '(a "OR")'),
        ("a OR OR b", '(a OR "OR" b)'),
        ("NOT", '("NOT")'),
        ("(-)", r"((\-))"),
        ("a ()", "(a)"),
        ("service:web*", r"(service\:web\*)"),
        ("ann@example.com", '("ann@example.com")'),
        ('say "hi', r"(say \" hi)"),
        ("and or not", "(and or not)"),
        ("/api/v1 a.b,c", "(/api/v1 a.b,c)"),
        ("a\tb\nc", "(a b c)"),
        ("  ", ""),
        ("()", ""),
        ('""', ""),
        ("(" * 60 + "a" + ")" * 60, "(" + r"\(" * 60 + "a" + r"\)" * 60 + ")"),
    ],
)
def test_how_a_search_is_written(search: str, query: str) -> None:
    assert simple_search(search) == query


def test_a_search_of_many_negations_is_read() -> None:
    """Deep or long input is no trouble."""
    assert simple_search("NOT " * 100_001 + "a") == "(-a)"


@CASES
@given(
    value=st.one_of(TEXTS, WORDS),
    operator=st.sampled_from(["=", "!=", "contains", "not contains", "=~", "!~"]),
    service=st.one_of(TEXTS, WORDS),
)
@example(value="a,b} or {*", operator="=", service="x")
@example(value="x OR service:y", operator="=", service="a AND b")
@example(value="a|b) OR (x:y", operator="=~", service="x")
def test_a_metric_filter_parses_and_never_leaves_the_scope(
    value: str, operator: str, service: str
) -> None:
    filters = [{"label": "host", "operator": operator, "value": value}]
    payload = {
        "expression": {"metricName": "m", "filters": filters},
        "scope": {"service": service},
    }
    try:
        expression = expression_of(payload, TAG_KEYS)
    except BadRequest:
        return
    parsed = metric_query(expression.query)
    scoped = service.strip()
    for host in ("a", "x", normal(value.strip()), ""):
        tags = {"host": host, "service": "another \N{SNOWMAN}"}
        assert scoped == "" or not parsed.test(tags)
    if operator in ("=", "!=") and scoped:
        tags = {"host": normal(value.strip()), "service": normal(scoped)}
        assert parsed.test(tags) == (operator == "=")
        assert parsed.test({**tags, "host": "\N{SNOWMAN}"}) == (operator == "!=")


@CASES
@given(text=TEXTS)
def test_a_stored_tag_has_no_syntax(text: str) -> None:
    stored = normal(text)
    assert len(stored) <= 200
    assert not set(stored) & set(" ,{}()\"*!\\|&<>=?'")
    assert normal(stored) == stored


@pytest.mark.parametrize("char", list("-!&|><=(){}[]\"*?:#\\~^+@/.,;%$'"))
def test_a_contained_character_is_itself_alone(char: str) -> None:
    """Wildcards too: it stands for no other character, and not for nothing."""
    filters = [{"field": "@x", "operator": "contains", "value": f"a{char}b"}]
    test = log_test(log_query({"expression": {"filters": filters}}))
    assert test({"attributes": {"x": f"<a{char}b>"}})
    for other in ("aXb", "ab", "aXXb", f"a\\{char}b" if char != "\\" else "a/b"):
        assert not test({"attributes": {"x": other}})

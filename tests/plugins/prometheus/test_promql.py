import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsorch.errors import BadRequest
from opsorch_plugins.prometheus.promql import (
    KEYWORDS,
    Matcher,
    label_name,
    label_text,
    matcher_of,
    quoted,
    re2_literal,
    scope_matchers,
    selector,
    utf8,
)

# All that UTF-8 can hold: no surrogates.
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


def parsed(text: str) -> promql_parser.VectorSelector:
    expression = promql_parser.parse(text)
    assert isinstance(expression, promql_parser.VectorSelector)
    return expression


def matchers_in(text: str) -> list[tuple[str, str]]:
    return [(m.name, m.value) for m in parsed(text).matchers.matchers]


@given(TEXT)
def test_a_value_comes_back_from_a_parser_unchanged(value: str) -> None:
    """Whatever a value is, the query holds one selector with this value."""
    assert matchers_in(selector("up", [Matcher("a", "=", value)])) == [("a", value)]


@given(TEXT.filter(bool))
def test_a_metric_name_comes_back_from_a_parser_unchanged(name: str) -> None:
    """Whatever a metric is called, the query holds one selector of it."""
    found = parsed(selector(name))
    told = {m.name: m.value for m in found.matchers.matchers}
    assert (found.name or told.get("__name__")) == name


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(str.strip))
def test_a_label_name_comes_back_from_a_parser_unchanged(name: str) -> None:
    """A label name of any kind stands in one matcher and nowhere else."""
    name = label_name(name, "label")
    assert matchers_in(selector("up", [Matcher(name, "=", "x")])) == [(name, "x")]


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("plain", '"plain"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("line\nfeed\r\ttab", '"line\\nfeed\\r\\ttab"'),
        ("\x00\x1b\x7f", '"\\x00\\x1b\\x7f"'),
        ("\U0001f600\u0085 ü}", '"\U0001f600\u0085 ü}"'),
        ("\ufffd", '"\\ufffd"'),
    ],
)
def test_values_are_written_as_prometheus_reads_them(value: str, literal: str) -> None:
    """Control characters are escaped, all other characters stand as they are."""
    assert quoted(value) == literal


@pytest.mark.parametrize("name", ["up", "node:cpu:rate5m", "_x", "http_requests_total"])
def test_classic_names_stay_bare(name: str) -> None:
    """A usual metric is written as people write it."""
    assert selector(name) == name


@pytest.mark.parametrize("name", ["a.b", "up or vector(1)", "9lives", "ü", "a b", "a{b}"])
def test_unusual_names_go_into_the_braces(name: str) -> None:
    """What the classic grammar does not have is quoted, in the form every version takes."""
    assert selector(name) == f'{{__name__="{name}"}}'


@pytest.mark.parametrize("name", sorted(KEYWORDS))
def test_keywords_go_into_the_braces_in_any_letter_case(name: str) -> None:
    """A metric called like a word of the language is not taken for it."""
    assert selector(name) == f'{{__name__="{name}"}}'
    assert selector(name.upper()) == f'{{__name__="{name.upper()}"}}'


def test_selectors_without_anything_are_empty() -> None:
    """No metric and no matcher make no braces."""
    assert selector("") == ""
    assert selector("up") == "up"
    assert selector("", [Matcher("a", "=", "b")]) == '{a="b"}'


@pytest.mark.parametrize(
    ("word", "operator", "value", "written"),
    [
        ("", "=", "x.y", '="x.y"'),
        ("==", "=", "x.y", '="x.y"'),
        ("!=", "!=", "x", '!="x"'),
        ("=~", "=~", "a|b", '=~"a|b"'),
        ("!~", "!~", "a.*", '!~"a.*"'),
        ("contains", "=~", "a.b", '=~".*a\\\\.b.*"'),
        ("Not  Contains", "!~", "(x)", '!~".*\\\\(x\\\\).*"'),
    ],
)
def test_filter_operators(word: str, operator: str, value: str, written: str) -> None:
    """Every word of a filter has its operator; "contains" looks for the text itself."""
    matcher = matcher_of({"label": "a", "operator": word, "value": value}, "filters[0]")
    assert matcher.operator == operator
    assert str(matcher) == f"a{written}"


@given(TEXT)
def test_re2_literals_match_themselves(value: str) -> None:
    """An escaped text is a pattern of exactly this text; Python's syntax agrees where it counts."""
    import re

    assert re.fullmatch(re2_literal(value), value)


@pytest.mark.parametrize(
    ("operator", "value", "excludes"),
    [
        ("=", "x", True),
        ("=", "", False),
        ("!=", "", True),
        ("!=", "x", False),
        ("=~", "x.+", True),
        ("=~", ".*", False),
        ("=~", "", False),
        ("=~", ".*.*", False),
        ("!~", ".*", True),
        ("!~", "", True),
        ("!~", "x", False),
    ],
)
def test_matchers_that_refuse_the_empty_value(operator: str, value: str, excludes: bool) -> None:
    """A selector without metric needs a matcher that not every series passes."""
    assert Matcher("a", operator, value).excludes_empty is excludes


def test_label_names_are_trimmed_and_checked() -> None:
    """Blank names and control characters are refused by the field's name."""
    assert label_name(" a.b ", "x") == "a.b"
    for name in ("", "  ", "a\nb", "a\x7fb"):
        with pytest.raises(BadRequest, match=r"^x "):
            label_name(name, "x")


def test_lone_surrogates_are_refused() -> None:
    """What cannot be written as UTF-8 is the caller's fault, not a crash."""
    with pytest.raises(BadRequest, match="x must be valid Unicode"):
        utf8("a\ud800", "x")
    with pytest.raises(BadRequest, match=r"filters\[0\]\.value"):
        matcher_of({"label": "a", "value": "\udfff"}, "filters[0]")


def test_labels_are_bare_or_quoted() -> None:
    """A classic label is written bare, any other in quotes."""
    assert label_text("a_1") == "a_1"
    assert label_text("a.b") == '"a.b"'
    assert label_text("__name__") == "__name__"


def test_scopes_become_matchers_in_their_order() -> None:
    """service, team, environment, by the configured labels."""
    labels = {"service": "app", "team": "squad", "environment": "stage"}
    scope = {"environment": "prod", "service": 'a"b'}
    assert [str(m) for m in scope_matchers(scope, labels)] == ['app="a\\"b"', 'stage="prod"']

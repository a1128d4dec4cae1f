"""Patterns of callers: real ones are taken, endless ones are refused, and none takes for ever."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch.errors import BadRequest
from opsorch_plugins.demo.regexes import compiled


@pytest.mark.parametrize(
    "pattern",
    [
        "svc-(checkout|order)",
        "5..",
        r"^GET /products/\d+ answered [45]\d\d in [\d.]+ ms$",
        r"(?i)timeout",
        r"(?P<word>refused|reset)",
        "a{2,5}b{3}",
        r"[*+?{}()|]+ \(x\)* \\",
        "(?:ab)+",
        "",
        r"(a)(b)?(?=c)(?<!d)e",
        "[]()+]+x",
    ],
)
def test_real_patterns_are_taken(pattern):
    assert compiled(pattern, "f").pattern == pattern


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a+)+$", "f: it repeats a group that itself repeats"),
        ("(a|aa)*$", "f: it repeats a group"),
        ("((ab?)c)+", "f: it repeats a group"),
        ("(a{1,9}){9}", "f: it repeats a group"),
        ("((a*))*", "f: it repeats a group"),
        (".*.*.*.*.*x", "f: it has more than 4 repeats"),
        ("a?" * 13 + "a", "f: it has more than 12 choices"),
        ("(a|b)" * 13, "f: it has more than 12 choices"),
        ("(?x) a # (", "f: a regex must not be verbose"),
        ("(", "f is no valid regex"),
        ("a" * 201, "f: a regex may have at most 200 characters"),
        ("(?" * 60, "f is no valid regex"),
        ("a{99999999999999999999}", "f is no valid regex"),
    ],
)
def test_other_patterns_are_refused_by_name(pattern, message):
    with pytest.raises(BadRequest, match=re.escape(message)):
        compiled(pattern, "f")


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab.*+?()|[]{}\\d2,^$", max_size=30))
def test_whatever_is_taken_ends_soon_on_a_long_line(pattern):
    try:
        found = compiled(pattern, "f")
    except BadRequest:
        return
    begun = time.process_time()
    found.search("ab" * 20 + "c")
    assert time.process_time() - begun < 2

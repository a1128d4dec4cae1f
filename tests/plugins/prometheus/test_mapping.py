"""Matchers, links, fingerprints and sorting: the pure parts."""

import datetime
import re
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsorch.errors import BadRequest
from opsorch_plugins.prometheus.alert_mapping import fingerprint_of, newest_first
from opsorch_plugins.prometheus.filters import filter_text, parsed_matcher
from opsorch_plugins.prometheus.links import MAX_ALERT_LINK, alert_link, graph_link
from opsorch_plugins.prometheus.window import MAX_STEPS, Window, default_step_s, window_of

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
NOW = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)


@given(TEXT, st.sampled_from(["=", "!=", "=~", "!~"]))
def test_a_matcher_written_is_the_matcher_parsed(value: str, operator: str) -> None:
    """What is written for Alertmanager comes back unchanged, whatever the value."""
    matcher = parsed_matcher(filter_text("a_1", operator, value), "m")
    assert (matcher.label, matcher.operator, matcher.value) == ("a_1", operator, value)


@given(TEXT)
def test_a_filter_holds_no_unescaped_quote(value: str) -> None:
    """Alertmanager refuses a value with a bare quote in it; a raw newline is escaped too."""
    inner = filter_text("a", "=", value)[3:-1]
    assert re.fullmatch(r'(?:[^"\\\n]|\\["\\n])*', inner)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (' a = "b" ', ("a", "=", "b")),
        ("a=b c", ("a", "=", "b c")),
        ("a=~b\\.c", ("a", "=~", "b\\.c")),
        ('a!~"b\\\\.c"', ("a", "!~", "b\\.c")),
        ('a="x\\ny"', ("a", "=", "x\ny")),
        ("a=", ("a", "=", "")),
        ('a=""', ("a", "=", "")),
        ('a="{x,y}"', ("a", "=", "{x,y}")),
        ('a!="="', ("a", "!=", "=")),
    ],
)
def test_matchers_as_people_write_them(text: str, parts: tuple[str, str, str]) -> None:
    """Blanks do not count, quotes are only needed where it matters."""
    matcher = parsed_matcher(text, "m")
    assert (matcher.label, matcher.operator, matcher.value) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "=b",
        'a"b"',
        "a.b=c",
        'a="b',
        'a=b"',
        'a="b"c"',
        'a="\\x"',
        "a=b,c=d",
        "a={b}",
        "1=b",
    ],
)
def test_what_is_no_matcher_is_refused(text: str) -> None:
    """The message names the field and shows how to write one."""
    with pytest.raises(BadRequest, match=r'^m is no matcher; write one as name="value"'):
        parsed_matcher(text, "m")


@given(TEXT)
def test_graph_links_hold_the_query_unchanged(promql: str) -> None:
    """However odd the query, a browser reads it back from the link."""
    url = graph_link("http://p/graph", promql, Window(0.0, 1.5, 15))
    shown = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query, keep_blank_values=True)
    assert shown["g0.expr"] == [promql]
    assert shown["g0.range_input"] == ["2s"]
    assert re.fullmatch(r"[\x21-\x7e]+", url)


@pytest.mark.parametrize("size", [10, 2000])
def test_long_alert_links_name_the_alert_alone(size: int) -> None:
    """Browsers and proxies cut URLs of some thousand characters."""
    labels = {"alertname": "Disk", "text": "ü" * size}
    url = alert_link("http://am", labels)
    assert len(url) <= MAX_ALERT_LINK
    assert ("text" in url) is (size == 10)
    assert urllib.parse.quote('alertname="Disk"', safe="") in url


def test_alert_links_without_anything_short_show_all_alerts() -> None:
    """A link always opens."""
    for labels in ({"text": "x" * 2000}, {"alertname": "x" * 2000}):
        assert alert_link("http://am", labels).endswith("silenced=true&inhibited=true&active=true")


@pytest.mark.parametrize(
    ("labels", "fingerprint"),
    [
        ({"alertname": "Parent"}, "d2f042c1a6809fd8"),
        ({"alertname": "Child", "severity": "warn.ing"}, "bf8e5824a7e43d3f"),
        ({"severity": "critical", "alertname": "A", "service": 'a"b\\'}, "c846d303498f26d9"),
    ],
)
def test_fingerprints_are_those_of_alertmanager(labels: dict[str, str], fingerprint: str) -> None:
    """The ids of pending alerts stay when they fire. Recorded from Alertmanager 0.25."""
    assert fingerprint_of(labels) == fingerprint


def test_fractions_of_any_length_are_sorted_right() -> None:
    """.5 is later than none and than .45; equal times go by id."""
    stamps = ["00.45", "00", "00.5", "01", "00.5"]
    alerts = [{"id": str(n), "createdAt": f"2024-01-01T00:00:{s}Z"} for n, s in enumerate(stamps)]
    assert [alert["id"] for alert in newest_first(alerts)] == ["3", "2", "4", "0", "1"]


@given(st.floats(0, 10**9), st.integers(1, 10**6))
def test_a_step_is_refused_only_when_it_makes_too_many_points(length_s: float, step: int) -> None:
    """The step that the refusal names is taken."""
    end = 1_700_000_000.0
    start = datetime.datetime.fromtimestamp(end - length_s, datetime.UTC)
    times = {
        "start": start.isoformat().replace("+00:00", "Z"),
        "end": datetime.datetime.fromtimestamp(end, datetime.UTC).isoformat(),
    }
    try:
        window = window_of({**times, "step": step}, 3600, NOW)
    except BadRequest as refused:
        assert length_s / step > MAX_STEPS - 1
        fits = int(refused.message.rsplit(" ", 1)[1])
        assert window_of({**times, "step": fits}, 3600, NOW).step_s == fits
    else:
        assert window.length_s / window.step_s <= MAX_STEPS


@given(st.floats(0, 10**9))
def test_the_default_step_makes_few_points(length_s: float) -> None:
    """About 240 points, never more often than every 15 s."""
    step_s = default_step_s(length_s)
    assert step_s >= 15
    assert length_s / step_s <= 240


def test_a_step_beyond_all_numbers_makes_one_point() -> None:
    """What no float can hold is compared all the same."""
    assert window_of({"step": 10**400}, 3600, NOW).step_s == 10**400


def test_an_instant_query_has_no_limit_of_steps() -> None:
    """It answers one point, however long the range of its link."""
    payload = {"start": "2000-01-01T00:00:00Z", "step": 1}
    assert window_of(payload, 3600, NOW, instant=True).step_s == 1

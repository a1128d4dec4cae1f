"""How numbers move over time: equal everywhere, exact where they are summed up."""

import datetime
import itertools
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch_plugins.demo import curves
from opsorch_plugins.demo.curves import (
    CELL_S,
    WEEK_S,
    Flow,
    Product,
    Push,
    Wave,
    increase,
    since_resets,
    six_digits,
    traffic,
    week_of,
)
from tests.plugins.demo.support import ANCHOR

ANCHOR_S = ANCHOR.timestamp()
MONDAY_S = int(datetime.datetime(2026, 1, 12, tzinfo=datetime.UTC).timestamp())
WAVE = Wave("seed", "key", ANCHOR_S, 1.0, 0.03)


def at(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()


def day_of(text):
    """The traffic at each five minutes of a day."""
    first = int(at(text)) // CELL_S
    return [traffic(cell, ANCHOR_S) for cell in range(first, first + 288)]


def a_push(**changes):
    given = {"begin_s": MONDAY_S + 4000.0, "rise_s": 480.0, "end_s": None, "recovery_s": 600.0}
    return Push(**{**given, "peak": 5.0, **changes})


def stepwise(course, begin_s, end_s, step_s=0.5):
    """The integral as a sum of many thin slices."""
    count = math.ceil((end_s - begin_s) / step_s)
    step_s = (end_s - begin_s) / count
    return step_s * math.fsum(course.at(begin_s + (n + 0.5) * step_s) for n in range(count))


def test_traffic_peaks_at_two_in_the_afternoon_and_is_lowest_at_three_at_night():
    day = day_of("2026-01-14")
    assert day.index(max(day)) * 5 / 60 == 14
    assert day.index(min(day)) * 5 / 60 == 3
    assert day == day_of("2026-01-14")


def test_weekends_are_quieter_and_time_brings_growth():
    friday, saturday = day_of("2026-01-16")[168], day_of("2026-01-17")[168]
    assert 0.63 < saturday / friday < 0.67
    assert day_of("2026-01-14")[168] < day_of("2026-02-11")[168] < day_of("2026-04-15")[168]
    assert 0 < min(day_of("1900-01-03")) < max(day_of("2999-01-02")) < 3


@given(st.floats(-2e9, 1e10), st.floats(0, 1), st.floats(0, 0.1))
def test_noise_stays_within_a_few_percent(at_s, sway, noise):
    wave = Wave("seed", "key", ANCHOR_S, sway, noise)
    whole, calm = wave.at(at_s)
    assert 1 - noise - 1e-9 <= calm <= 1 + noise + 1e-9
    assert 0 < whole < 3


def test_waves_differ_by_key_and_seed():
    times = [ANCHOR_S + 300 * number for number in range(50)]
    rows = {
        tuple(Wave(seed, key, ANCHOR_S, 0, 0.03).at(at_s)[0] for at_s in times)
        for seed in ("a", "b")
        for key in ("x", "y")
    }
    assert len(rows) == 4


def test_a_push_rises_holds_and_recovers():
    push = a_push(end_s=MONDAY_S + 6000.0)
    shape = {0: 0, 4000: 0, 4240: 0.5, 4480: 1, 6000: 1, 6300: 0.5, 6600: 0, 9999: 0}
    assert {after: push.strength(MONDAY_S + after) for after in shape} == shape
    assert a_push().strength(MONDAY_S + 99999) == 1


def test_a_push_that_ends_while_it_rises_falls_from_where_it_was():
    push = a_push(end_s=MONDAY_S + 4240.0)
    assert [push.strength(MONDAY_S + after) for after in (4240, 4540, 4840)] == [0.5, 0.25, 0]


def test_at_full_strength_the_level_is_the_peak_at_any_hour():
    flow = Flow(WAVE, 100.0, (a_push(rise_s=1.0),))
    for hour in range(2, 24 * 7):
        assert flow.at(MONDAY_S + 3600 * hour) == pytest.approx(5.0, rel=0.031)


def test_a_factor_follows_the_hour():
    calm, pushed = Flow(WAVE, 100.0), Flow(WAVE, 100.0, (a_push(peak=2.8, factor=True),))
    for hour in range(2, 24):
        at_s = MONDAY_S + 3600 * hour
        assert pushed.at(at_s) == pytest.approx(2.8 * calm.at(at_s))


def test_of_two_causes_the_stronger_one_rules():
    weak, strong = a_push(peak=110.0), a_push(peak=10.0)
    at_s = MONDAY_S + 9000.0
    flow = Flow(Wave("s", "k", 0.0, 0.0, 0.0), 100.0, (weak, strong))
    assert flow.at(at_s) == 10.0


COURSES = {
    "calm": Flow(WAVE, 7.0),
    "pushed": Flow(WAVE, 7.0, (a_push(end_s=MONDAY_S + 5111.0),)),
    "factor": Flow(WAVE, 7.0, (a_push(factor=True),)),
    "share": Product(
        Flow(WAVE, 7.0, (a_push(factor=True, begin_s=MONDAY_S + 4100.5),)),
        Flow(Wave("seed", "e", ANCHOR_S, 0.0, 0.03), 0.01, (a_push(peak=0.2),)),
    ),
    "nothing at first": Product(
        Flow(WAVE, 7.0), Flow(Wave("", "", 0.0, 0.0, 0.0), 0.0, (a_push(),))
    ),
}


@pytest.mark.parametrize("course", COURSES.values(), ids=COURSES)
@pytest.mark.parametrize("span", [(3600, 7777), (4321.5, 4333.25), (0, 1800), (5000, 9000)])
def test_an_increase_is_the_exact_integral(course, span):
    begin_s, end_s = (MONDAY_S + bound for bound in span)
    expected = stepwise(course, begin_s, end_s)
    assert increase(course, begin_s, end_s) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_an_increase_goes_on_over_the_end_of_the_week():
    course = COURSES["calm"]
    next_s = MONDAY_S + WEEK_S
    both = increase(course, next_s - 1000, next_s) + increase(course, next_s, next_s + 1000)
    assert increase(course, next_s - 1000, next_s + 1000) == pytest.approx(both, rel=1e-12)
    assert both == pytest.approx(stepwise(course, next_s - 1000, next_s + 1000), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, WEEK_S - 1), min_size=2, max_size=20, unique=True))
def test_a_counter_does_not_depend_on_when_else_it_is_read(offsets):
    times = [MONDAY_S + offset for offset in sorted(offsets)]
    course = COURSES["pushed"]
    together = since_resets(course, times, [MONDAY_S + 3 * 86400.0])
    curves.week_totals.cache_clear()
    alone = [since_resets(course, [t], [MONDAY_S + 3 * 86400.0])[0] for t in reversed(times)]
    assert together == alone[::-1]


def test_a_counter_falls_only_on_mondays_and_where_it_is_told():
    reset_s = MONDAY_S + 2 * 86400.0
    times = [MONDAY_S + 3600.0 * hour for hour in range(24 * 15)]
    shown = since_resets(COURSES["calm"], times, [reset_s])
    fell = [times[n] for n, (a, b) in enumerate(itertools.pairwise(shown), 1) if b < a]
    assert fell == [reset_s, MONDAY_S + WEEK_S, MONDAY_S + 2 * WEEK_S]
    assert [shown[times.index(t)] for t in fell] == [0, 0, 0]


def test_weeks_begin_on_monday():
    for day, expected in (("2026-01-12", "2026-01-12"), ("2026-01-18", "2026-01-12")):
        assert week_of(at(day)) == at(expected)
    assert week_of(at("1969-12-30")) == at("1969-12-29")


def test_values_have_six_significant_digits():
    found = [six_digits(x) for x in (123456789.0, 0.000123456789, 0.0)]
    assert found == [123457000.0, 0.000123457, 0.0]


def test_the_bits_are_equal_in_another_process():
    code = (
        "from tests.plugins.demo.test_curves import COURSES, MONDAY_S\n"
        "from opsorch_plugins.demo.curves import increase\n"
        "print([increase(c, MONDAY_S + 1, MONDAY_S + 9999).hex() for c in COURSES.values()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd="."
    )
    here = [increase(c, MONDAY_S + 1, MONDAY_S + 9999).hex() for c in COURSES.values()]
    assert done.stdout.strip() == str(here)

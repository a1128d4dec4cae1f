"""The snapshot and its hash."""

import datetime
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from opsorch_plugins.demo.world import World, unit
from tests.plugins.demo.support import ANCHOR


def world(**changes):
    given = {"anchor": ANCHOR, "seed": "s", "environment": "prod", "source": "demo", "now": ANCHOR}
    return World(**{**given, **changes})


@given(st.text(), st.lists(st.one_of(st.text(), st.integers(), st.floats()), max_size=4))
def test_unit_is_at_least_zero_and_below_one(seed, parts):
    assert 0 <= unit(seed, *parts) < 1


def test_unit_depends_on_the_seed_and_on_every_part():
    values = {unit("a"), unit("b"), unit("a", 1), unit("a", 1, 2), unit("a", "12"), unit("a", 2, 1)}
    assert len(values) == 6


def test_unit_is_the_same_in_another_process_with_another_hash_seed():
    code = "from opsorch_plugins.demo.world import unit; print(repr(unit('s', 'x', 7)))"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        )
        assert done.stdout.strip() == repr(unit("s", "x", 7))


def test_minutes_before_undoes_at():
    here = world()
    assert here.at(90) == ANCHOR - datetime.timedelta(hours=1.5)
    assert here.at(-6) > ANCHOR
    assert here.minutes_before(here.at(12.5)) == 12.5


def test_services_run_in_the_seeded_environment_and_in_staging():
    assert world(environment="live").environments == ("live", "staging")

"""Which command lines run the tests of this folder. Needs no server."""

import pathlib
import re
import subprocess
import sys

import pytest

from tests.harness import ROOT
from tests.live.conftest import asked_for

HERE = "tests/live/test_selection.py"


@pytest.mark.parametrize(
    ("marks", "paths", "asked"),
    [
        ("", ["tests"], False),
        ("", ["."], False),
        ("", ["tests/plugin"], False),
        ("not live", ["tests"], False),
        ("alive", ["tests"], False),
        ("live", ["tests"], True),
        ("live and not fault", ["tests"], True),
        ("", ["tests/live"], True),
        ("", ["tests/live/"], True),
        ("", ["tests/plugin", f"{HERE}::test_x[a::b]"], True),
        ("", ["tests/../tests/live/test_prometheus.py"], True),
    ],
)
def test_what_asks_for_the_live_tests(marks: str, paths: list[str], asked: bool) -> None:
    """The mark, or a path of this folder."""
    assert asked_for(marks, paths, ROOT) is asked
    assert asked_for(marks, [str(ROOT / path) for path in paths], pathlib.Path("/")) is asked


def collected(*arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only"]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    return done.stdout.decode()


def test_a_plain_run_names_what_it_left_out() -> None:
    """What needs no server stays."""
    for marks in ((), ("-m", "not live")):
        out = collected("tests", "--ignore-glob=*/tests/[!l]*", *marks)
        assert re.search(r"^left to make live: [1-9]\d*$", out, re.MULTILINE)
        assert HERE in out
        assert "test_prometheus.py" not in out


def test_asking_for_them_collects_them() -> None:
    """By path or by mark, without a remark."""
    for arguments in (("tests/live",), ("tests", "--ignore-glob=*/tests/[!l]*", "-m", "live")):
        out = collected(*arguments)
        assert "left to make live" not in out
        assert "tests/live/test_prometheus.py::" in out

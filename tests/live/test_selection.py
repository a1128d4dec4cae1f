"""Which command lines run the tests of this folder. Needs no server."""

import os
import pathlib
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


CONFTEST = "from tests.live.conftest import pytest_collection_modifyitems, pytest_terminal_summary"
TESTS = """
import pytest

def test_plain(): pass

@pytest.mark.live
def test_with_a_server(): pass
"""


@pytest.mark.parametrize("marks", ["", "not live"])
def test_a_plain_run_names_what_it_left_out(tmp_path: pathlib.Path, marks: str) -> None:
    """What needs no server stays, what needs one is counted."""
    out = collected(tmp_path, marks)
    assert "left to make live: 1" in out.splitlines()
    assert "::test_plain" in out
    assert "test_with_a_server" not in out


def test_asking_for_them_collects_them(tmp_path: pathlib.Path) -> None:
    """Without a remark."""
    out = collected(tmp_path, "live")
    assert "left to make live" not in out
    assert "::test_with_a_server" in out


def collected(folder: pathlib.Path, marks: str) -> str:
    """Let pytest collect a small folder that has the hooks of this one."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_small.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only"]
    done = subprocess.run(
        [*command, "-c", str(ROOT / "setup.cfg"), "-m", marks, str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        timeout=120,
    )
    return done.stdout.decode()

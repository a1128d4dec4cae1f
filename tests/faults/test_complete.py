"""Each numbered promise of docs/faults.md has a test that carries its number, and no other."""

import pathlib
import re
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
PAGE = TESTS.parent / "docs" / "faults.md"
PROMISES = set(range(1, 65))

COLLECT = """
import sys, pytest
class Marks:
    def pytest_collection_modifyitems(self, items):
        for item in items:
            for mark in item.iter_markers("fault"):
                print("proves", mark.args[0])
sys.exit(pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *sys.argv[1:]], [Marks()]))
"""


def test_every_promise_has_a_test() -> None:
    files = [path for path in TESTS.rglob("test_*.py") if "mark.fault(" in path.read_text()]
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, *map(str, files)],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    proved = {int(number) for number in re.findall(r"^proves (\d+)$", done.stdout, re.MULTILINE)}
    assert sorted(PROMISES - proved) == []
    assert sorted(proved - PROMISES) == []


def test_the_page_names_every_promise_once() -> None:
    numbers = [int(found) for found in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)]
    assert sorted(numbers) == sorted(PROMISES)


def test_every_script_has_a_user() -> None:
    scripts = (TESTS / "faults" / "plugins").glob("*.*")
    users = [path for path in TESTS.rglob("*.py") if path.parent.name != "plugins"]
    sources = "".join(path.read_text() for path in users)
    assert [path.name for path in scripts if path.stem not in sources] == []

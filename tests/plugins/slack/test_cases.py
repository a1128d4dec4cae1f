"""Every numbered case of the specification has a test, and the README names tests that exist."""

import pathlib
import re

import opsorch_plugins.slack
from opsorch_plugins.slack.settings import CONFIG

FOLDER = pathlib.Path(__file__).parent
README = pathlib.Path(opsorch_plugins.slack.__file__).with_name("README.md").read_text()
CASES = set(range(1, 21))
_MARKED = re.compile(
    r"((?:@pytest\.mark\.[^\n]*\n(?:[ )\]}][^\n]*\n)*)+)def (test_\w+)", re.MULTILINE
)


def marked() -> dict[int, set[str]]:
    """The tests of each case, by the marks in the test files."""
    found: dict[int, set[str]] = {}
    for path in FOLDER.glob("test_*.py"):
        for decorators, name in _MARKED.findall(path.read_text()):
            for number in re.findall(r'mark\.case\("slack", (\d+)\)', decorators):
                found.setdefault(int(number), set()).add(f"{path.name}::{name}")
    return found


def listed() -> dict[int, set[str]]:
    """The tests of each case, by the README's table."""
    rows = re.findall(r"^\| (\d+) \|.*\| (`test_.*`) \|$", README, re.MULTILINE)
    return {int(number): set(re.findall(r"`(test_[^`]+)`", tests)) for number, tests in rows}


def test_no_case_is_missing() -> None:
    assert set(marked()) == CASES


def test_the_readme_names_the_tests_of_each_case() -> None:
    assert listed() == marked()


def test_the_readme_documents_each_setting() -> None:
    for field in CONFIG.fields:
        assert f"`{field.name}`" in README
        assert all(f"`{alias}`" in README for alias in field.aliases)

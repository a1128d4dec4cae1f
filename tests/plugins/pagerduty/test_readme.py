"""The README's tables are those of the code and of the tests."""

import ast
import pathlib
import re
from collections.abc import Iterator

import opsorch_plugins.pagerduty
from opsorch_plugins.pagerduty.settings import INCIDENT_CONFIG, SERVICE_CONFIG

README = pathlib.Path(opsorch_plugins.pagerduty.__file__).with_name("README.md").read_text()
HERE = pathlib.Path(__file__).parent
CASES = set(range(1, 19))


def marked_tests() -> Iterator[tuple[int, str]]:
    """Yield the number and the name of every test that proves a numbered case."""
    for path in HERE.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                for mark in node.decorator_list:
                    if re.match(r"pytest\.mark\.case\('pagerduty', \d+\)", ast.unparse(mark)):
                        assert isinstance(mark, ast.Call)
                        assert isinstance(mark.args[1], ast.Constant)
                        yield int(str(mark.args[1].value)), f"{path.name}::{node.name}"


def listed_tests() -> Iterator[tuple[int, str]]:
    """Yield the number and the name of every test in the README's table of cases."""
    for row in re.findall(r"^\| (\d+) \|.*\|$", README, re.MULTILINE):
        [line] = [part for part in README.splitlines() if part.startswith(f"| {row} |")]
        for name in re.findall(r"`(test_\w+\.py::\w+)`", line):
            yield int(row), name


def test_every_numbered_case_has_a_test_and_is_listed() -> None:
    """None is missing, and none is listed that does not exist."""
    marked = set(marked_tests())
    assert {number for number, _ in marked} == CASES
    assert set(listed_tests()) == marked


def test_every_setting_is_in_the_readme() -> None:
    """With its other names and its default."""
    for field in INCIDENT_CONFIG.fields:
        [row] = [line for line in README.splitlines() if line.startswith(f"| `{field.name}` |")]
        wanted = "required" if field.required else f"`{field.default}`"
        assert wanted in row, field.name
        assert all(f"`{alias}`" in README for alias in field.aliases), field.name
    names = {field.name for field in INCIDENT_CONFIG.fields}
    assert names == {field.name for field in SERVICE_CONFIG.fields}

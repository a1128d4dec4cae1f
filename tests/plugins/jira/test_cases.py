"""Every numbered case of the specification has a test, and the README names tests that exist."""

import ast
import pathlib
import re

import opsorch_plugins.jira
from opsorch_plugins.jira.settings import CONFIG

HERE = pathlib.Path(__file__).parent
README = pathlib.Path(opsorch_plugins.jira.__file__).with_name("README.md")
CASES = 20


def marked_tests() -> dict[str, set[int]]:
    """Each test of this folder as ``file::name``, with the cases that it is marked with."""
    found: dict[str, set[int]] = {}
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = [ast.unparse(mark) for mark in node.decorator_list]
                numbers = [re.fullmatch(r"pytest\.mark\.case\('jira', (\d+)\)", m) for m in marks]
                found[f"{path.name}::{node.name}"] = {int(m.group(1)) for m in numbers if m}
    return found


def readme_rows() -> dict[int, list[str]]:
    """The table of test cases: number and named tests."""
    table = README.read_text().partition("## Test cases")[2]
    rows = re.findall(r"^\| (\d+) \| .*? \| (.*) \|$", table, re.MULTILINE)
    return {int(number): re.findall(r"`([^`]+)`", tests) for number, tests in rows}


def test_every_case_has_a_marked_test() -> None:
    """No number is missing, and none is invented."""
    numbers = set().union(*marked_tests().values())
    assert numbers == set(range(1, CASES + 1))


def test_the_readme_names_the_test_of_every_case() -> None:
    """Those named exist, and one of them at least carries the number."""
    marked = marked_tests()
    rows = readme_rows()
    assert sorted(rows) == list(range(1, CASES + 1))
    for number, tests in rows.items():
        assert set(tests) <= set(marked)
        assert any(number in marked[test] for test in tests), number


def test_the_readme_documents_every_setting() -> None:
    """With its aliases."""
    text = README.read_text()
    for field in CONFIG.fields:
        assert f"| `{field.name}` |" in text
        assert all(f"`{alias}`" in text for alias in field.aliases)

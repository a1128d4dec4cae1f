"""The README tells the truth: every case has its tests, every setting its row."""

import ast
import pathlib
import re

import opsorch_plugins.elasticsearch
from opsorch_plugins.elasticsearch.settings import CONFIG

README = pathlib.Path(opsorch_plugins.elasticsearch.__file__).with_name("README.md")
HERE = pathlib.Path(__file__).parent
CASES = set(range(1, 21))


def marked_tests() -> dict[int, set[str]]:
    """Case number -> tests that are marked with it, as ``file.py::function``."""
    found: dict[int, set[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            for mark in getattr(node, "decorator_list", []):
                text = ast.unparse(mark)
                match = re.fullmatch(r"pytest\.mark\.case\('elasticsearch', (\d+)\)", text)
                if match and isinstance(node, ast.FunctionDef):
                    found.setdefault(int(match[1]), set()).add(f"{path.name}::{node.name}")
    return found


def test_every_case_has_a_test() -> None:
    """And no test claims a case that is not there."""
    assert set(marked_tests()) == CASES


def test_the_table_of_cases_is_that_of_the_tests() -> None:
    """Neither names a test that the other does not."""
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| (.+) \|$", README.read_text(), re.MULTILINE)
    told = {int(number): set(re.findall(r"`([^`]+)`", tests)) for number, tests in rows}
    assert told == marked_tests()


def test_every_setting_is_documented() -> None:
    """With all of its names."""
    text = README.read_text()
    for field in CONFIG.fields:
        for name in (field.name, *field.aliases):
            assert f"`{name}`" in text, name

"""The README's table of cases names tests that exist, and those that bear the case's number."""

import ast
import pathlib
import re

import opsorch_plugins.demo
from opsorch_plugins.demo.catalogue import SCENARIOS
from opsorch_plugins.demo.measures import METRICS
from opsorch_plugins.demo.settings import DEMO_CONFIG

README = pathlib.Path(opsorch_plugins.demo.__file__).with_name("README.md")
FOLDER = pathlib.Path(__file__).parent
CASES = range(1, 16)


def marked():
    """The tests of each numbered case, by their marks in the source."""
    found = {}
    for path in FOLDER.glob("test_*.py"):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.FunctionDef):
                for decorator in function.decorator_list:
                    text = ast.unparse(decorator)
                    if match := re.fullmatch(r"pytest\.mark\.case\('demo', (\d+)\)", text):
                        name = f"{path.name}::{function.name}"
                        found.setdefault(int(match[1]), set()).add(name)
    return found


def told():
    """The tests of each case in the README."""
    table = README.read_text().partition("## Test cases")[2]
    rows = re.findall(r"^\| (\d+) \|[^|]*\|(.*)\|$", table, re.MULTILINE)
    return {int(number): set(re.findall(r"`([^`]+)`", tests)) for number, tests in rows}


def test_no_case_is_missing_and_the_readme_names_its_tests():
    assert sorted(marked()) == list(CASES)
    assert told() == marked()


def test_the_readme_tells_every_setting_with_its_default():
    text = README.read_text().partition("## Settings")[2].partition("## Queries")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE))
    assert list(rows) == [field.name for field in DEMO_CONFIG.fields]
    for field in DEMO_CONFIG.fields:
        default = "OPSORCH_DATA_DIR" if field.name == "dataDir" else field.default
        assert f" `{default}` " in rows[field.name], field.name


def test_the_readme_tells_every_scenario_and_how_many_metrics_there_are():
    text = README.read_text()
    for scenario in SCENARIOS:
        assert f"| `{scenario.id}` | {scenario.service} |" in text
    assert f"the {len(METRICS)} there are" in text

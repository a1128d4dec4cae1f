"""The README's table of cases names tests that exist, and those that bear the case's number."""

import ast
import pathlib
import re

import opsorch_plugins.github
from opsorch_plugins.github.settings import DEPLOYMENT_CONFIG, TEAM_CONFIG, TICKET_CONFIG

README = pathlib.Path(opsorch_plugins.github.__file__).with_name("README.md")
FOLDER = pathlib.Path(__file__).parent
CASES = range(1, 21)


def marked() -> dict[int, set[str]]:
    """The tests of each numbered case, by their marks in the source."""
    found: dict[int, set[str]] = {}
    for path in FOLDER.glob("test_*.py"):
        for function in ast.parse(path.read_text()).body:
            if not isinstance(function, ast.FunctionDef):
                continue
            for decorator in function.decorator_list:
                text = ast.unparse(decorator)
                if match := re.fullmatch(r"pytest\.mark\.case\('github', (\d+)\)", text):
                    found.setdefault(int(match[1]), set()).add(f"{path.name}::{function.name}")
    return found


def told() -> dict[int, set[str]]:
    """The tests of each case in the README."""
    table = README.read_text().partition("## Test cases")[2]
    rows = re.findall(r"^\| (\d+) \|[^|]*\|(.*)\|$", table, re.MULTILINE)
    return {int(number): set(re.findall(r"`([^`]+)`", tests)) for number, tests in rows}


def test_no_case_is_missing_and_the_readme_names_its_tests() -> None:
    """Neither more nor fewer than there are."""
    assert sorted(marked()) == list(CASES)
    assert told() == marked()


def test_the_readme_tells_every_setting() -> None:
    """With its aliases and its default."""
    text = README.read_text().partition("## Settings")[2].partition("## Permissions")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE))
    fields = {f.name: f for s in (TICKET_CONFIG, DEPLOYMENT_CONFIG, TEAM_CONFIG) for f in s.fields}
    assert sorted(rows) == sorted(fields)
    for name, field in fields.items():
        cells = [cell.strip() for cell in rows[name].split("|")]
        assert ("required" in cells) is field.required, name
        if isinstance(field.default, str | int) and not isinstance(field.default, bool):
            assert f"`{field.default}`" in cells, name
        assert all(f"`{alias}`" in text for alias in field.aliases), name

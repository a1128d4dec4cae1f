"""The README: its table of cases names the tests that prove them, its settings are all there."""

import ast
import pathlib
import re
from collections import defaultdict

import pytest

import opsorch_plugins.prometheus
from opsorch_plugins.prometheus.provider import PrometheusAlerts, PrometheusMetrics

README = pathlib.Path(opsorch_plugins.prometheus.__file__).with_name("README.md")
CASES = range(1, 21)


def named_in_the_readme() -> dict[int, set[str]]:
    """Return the tests, ``file::function``, of each row of the table of cases."""
    rows = re.findall(
        r"^\| (\d+) \|[^|]*\|(.*)\|$", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {int(number): set(re.findall(r"`([\w.]+::\w+)`", tests)) for number, tests in rows}


def marked() -> dict[int, set[str]]:
    """Return the tests of this folder that are marked with each case."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in pathlib.Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for mark in node.decorator_list:
                    if ast.unparse(mark).startswith("pytest.mark.case("):
                        assert isinstance(mark, ast.Call)
                        page, number = map(ast.literal_eval, mark.args)
                        assert page == "prometheus"
                        found[number].add(f"{path.name}::{node.name}")
    return found


def test_every_case_is_proved_and_the_readme_says_where() -> None:
    """No number is missing, and the table names the marked tests and no others."""
    assert sorted(marked()) == list(CASES)
    assert named_in_the_readme() == marked()


@pytest.mark.parametrize("provider", [PrometheusMetrics, PrometheusAlerts])
def test_every_setting_is_documented(provider: type[PrometheusMetrics | PrometheusAlerts]) -> None:
    """With its other names."""
    text = README.read_text(encoding="utf-8")
    for field in provider.config.fields:
        for name in (field.name, *field.aliases):
            assert f"`{name}`" in text, name

"""The README's table of cases names tests that exist, and those that bear the case's number."""

import re

from opsorch_plugins.demo.catalogue import SCENARIOS
from opsorch_plugins.demo.measures import METRICS
from opsorch_plugins.demo.settings import DEMO_CONFIG
from tests.plugins.support import every_case_is_proved, readme_of


def test_no_case_is_missing_and_the_readme_names_its_tests():
    every_case_is_proved("demo", count=15)


def test_the_readme_tells_every_setting_with_its_default():
    text = readme_of("demo").partition("## Settings")[2].partition("## Queries")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE))
    assert list(rows) == [field.name for field in DEMO_CONFIG.fields]
    for field in DEMO_CONFIG.fields:
        default = "OPSORCH_DATA_DIR" if field.name == "dataDir" else field.default
        assert f" `{default}` " in rows[field.name], field.name


def test_the_readme_tells_every_scenario_and_how_many_metrics_there_are():
    text = readme_of("demo")
    for scenario in SCENARIOS:
        assert f"| `{scenario.id}` | {scenario.service} |" in text
    assert f"the {len(METRICS)} there are" in text

"""The README's tables are those of the code and of the tests."""

from opsorch_plugins.pagerduty.settings import INCIDENT_CONFIG, SERVICE_CONFIG
from tests.plugins.support import every_case_is_proved, readme_of


def test_every_numbered_case_has_a_test_and_is_listed() -> None:
    """None is missing, and none is listed that does not exist."""
    every_case_is_proved("pagerduty", count=18)


def test_every_setting_is_in_the_readme() -> None:
    """With its other names and its default."""
    text = readme_of("pagerduty")
    for field in INCIDENT_CONFIG.fields:
        [row] = [line for line in text.splitlines() if line.startswith(f"| `{field.name}` |")]
        wanted = "required" if field.required else f"`{field.default}`"
        assert wanted in row, field.name
        assert all(f"`{alias}`" in text for alias in field.aliases), field.name
    names = {field.name for field in INCIDENT_CONFIG.fields}
    assert names == {field.name for field in SERVICE_CONFIG.fields}

"""Every numbered case of the specification has a test, and the README names tests that exist."""

from opsorch_plugins.slack.settings import CONFIG
from tests.plugins.support import every_case_is_proved, readme_of


def test_no_case_is_missing_and_the_readme_names_its_tests() -> None:
    every_case_is_proved("slack", count=20)


def test_the_readme_documents_each_setting() -> None:
    text = readme_of("slack")
    for field in CONFIG.fields:
        assert f"`{field.name}`" in text
        assert all(f"`{alias}`" in text for alias in field.aliases)

"""Every numbered case of the specification has a test, and the README names tests that exist."""

from opsorch_plugins.jira.settings import CONFIG
from tests.plugins.support import every_case_is_proved, readme_of


def test_every_case_has_a_marked_test_that_the_readme_names() -> None:
    """No number is missing, none is invented, and the table has no other tests."""
    every_case_is_proved("jira", count=20)


def test_the_readme_documents_every_setting() -> None:
    """With its aliases."""
    text = readme_of("jira")
    for field in CONFIG.fields:
        assert f"| `{field.name}` |" in text
        assert all(f"`{alias}`" in text for alias in field.aliases)

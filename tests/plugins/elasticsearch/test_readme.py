"""The README tells the truth: every case has its tests, every setting its row."""

from opsorch_plugins.elasticsearch.settings import CONFIG
from tests.plugins.support import every_case_is_proved, readme_of


def test_every_case_has_a_test_and_the_readme_lists_it() -> None:
    """No test claims a case that is not there, and the table names no other tests."""
    every_case_is_proved("elasticsearch", count=20)


def test_every_setting_is_documented() -> None:
    """With all of its names."""
    text = readme_of("elasticsearch")
    for field in CONFIG.fields:
        for name in (field.name, *field.aliases):
            assert f"`{name}`" in text, name

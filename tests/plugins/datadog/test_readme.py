"""The README's tables are those of the code and of the tests."""

import re

from opsorch_plugins.datadog.settings import CONFIG
from tests.plugins.support import every_case_is_proved, readme_of


def test_no_case_is_missing_and_the_readme_names_its_tests() -> None:
    """Neither more nor fewer than there are."""
    every_case_is_proved("datadog", count=20)


def test_the_readme_tells_every_setting() -> None:
    """With its aliases and its default."""
    text = readme_of("datadog").partition("## Settings")[2].partition("## Permissions")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE))
    fields = {field.name: field for field in CONFIG.fields}
    assert sorted(rows) == sorted(fields)
    for name, field in fields.items():
        cells = [cell.strip() for cell in rows[name].split("|")]
        assert ("required" in cells) is field.required, name
        if field.default is not None:
            assert f"`{str(field.default).lower()}`" in cells, name
        assert all(f"`{alias}`" in text for alias in field.aliases), name

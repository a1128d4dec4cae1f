"""The README's table of cases names tests that exist, and those that bear the case's number."""

import re

from opsorch_plugins.github.settings import DEPLOYMENT_CONFIG, TEAM_CONFIG, TICKET_CONFIG
from tests.plugins.support import every_case_is_proved, readme_of


def test_no_case_is_missing_and_the_readme_names_its_tests() -> None:
    """Neither more nor fewer than there are."""
    every_case_is_proved("github", count=20)


def test_the_readme_tells_every_setting() -> None:
    """With its aliases and its default."""
    text = readme_of("github").partition("## Settings")[2].partition("## Permissions")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE))
    fields = {f.name: f for s in (TICKET_CONFIG, DEPLOYMENT_CONFIG, TEAM_CONFIG) for f in s.fields}
    assert sorted(rows) == sorted(fields)
    for name, field in fields.items():
        cells = [cell.strip() for cell in rows[name].split("|")]
        assert ("required" in cells) is field.required, name
        if isinstance(field.default, str | int) and not isinstance(field.default, bool):
            assert f"`{field.default}`" in cells, name
        assert all(f"`{alias}`" in text for alias in field.aliases), name

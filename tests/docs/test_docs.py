"""The documentation: generated files are fresh, everything is documented, links lead somewhere."""

import pathlib
import re

import pytest

from opsorch.errors import STATUS_OF_CODE
from opsorch.observability.events import EVENTS
from tests.docs.support import generated_files
from tests.harness import ROOT

PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")])


@pytest.mark.parametrize("path", generated_files())
def test_a_generated_file_is_fresh(path: str) -> None:
    wanted = generated_files()[path]
    assert (ROOT / path).read_text() == wanted, "run `make generate`"


@pytest.mark.parametrize("code", STATUS_OF_CODE)
def test_every_error_code_is_documented_with_its_status(code: str) -> None:
    rows = [
        line for line in (ROOT / "docs/errors.md").read_text().splitlines() if f"`{code}`" in line
    ]
    assert any(f"| {STATUS_OF_CODE[code]} |" in row for row in rows)


def emitted() -> set[str]:
    """Every event that the code emits."""
    found: set[str] = set()
    for path in (ROOT / "opsorch").rglob("*.py"):
        calls = re.findall(r"emit\(\s*\"([a-z_]+\.[a-z_]+)\"", path.read_text())
        found |= set(calls)
    return found


def test_the_table_of_events_holds_what_is_emitted_and_nothing_else() -> None:
    assert emitted() == set(EVENTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: pathlib.Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_make_target_is_in_the_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    wanted = {"help", "run", "test", "live", "check", "format", "lint", "types", "imports", "bench"}
    assert wanted | {"clean", "soak", "generate", "lock", "faults"} <= explained


def test_the_example_settings_are_valid_and_select_the_demo() -> None:
    from opsorch.config import Settings, read_environ

    settings = Settings.from_env(read_environ({}, ROOT / ".env.example"))
    assert not settings.unknown
    assert {one.plugin for one in settings.capabilities.values()} == {"bundled:demo"}
    assert not any(one.fault for one in settings.capabilities.values())


def test_every_commented_line_of_the_example_is_a_variable_that_is_read() -> None:
    from opsorch.config import known_variables

    text = (ROOT / ".env.example").read_text()
    names = set(re.findall(r"^#?(OPSORCH_[A-Z_]+)=", text, re.MULTILINE))
    assert names <= set(known_variables())

"""The documentation: generated files are fresh, everything is documented, links lead somewhere."""

import ast
import functools
import pathlib
import re

import pytest

from opsorch.capabilities import operations
from opsorch.capabilities.fields import declared
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


@functools.cache
def emitted() -> list[tuple[str, set[str]]]:
    """Every event that the code emits, and its facts, a traceback aside; one for each place."""
    found = []
    for path in (ROOT / "opsorch").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case (
                    ast.Call(
                        ast.Name("emit" | "_emit") | ast.Attribute(_, "emit" | "_emit"),
                        [ast.Constant(str(event))],
                        keywords,
                    )
                    | ast.Call(ast.Attribute(_, "emit_at"), [_, ast.Constant(str(event))], keywords)
                    | ast.Call(ast.Attribute(_, "render"), [ast.Constant(str(event))], keywords)
                ):
                    facts = {str(keyword.arg) for keyword in keywords}
                    found.append((event, facts - {"exc_info"}))
    return found


def test_the_table_of_events_holds_what_is_emitted_and_nothing_else() -> None:
    assert {event for event, _ in emitted()} == set(EVENTS)


@pytest.mark.parametrize("event", EVENTS)
def test_the_table_of_events_names_their_facts(event: str) -> None:
    told = [facts for name, facts in emitted() if name == event]
    assert told == [set(EVENTS[event].facts)] * len(told)


SHAPES_OF_REQUESTS = {row.body.__name__: row.body for _, row in operations() if row.body}


@pytest.mark.parametrize("name", SHAPES_OF_REQUESTS)
def test_the_page_of_capabilities_tells_what_a_request_must_hold(name: str) -> None:
    [line] = set(re.findall(rf"^\*\*{name}\*\*: .*", capabilities_page(), re.MULTILINE))
    fields = declared(SHAPES_OF_REQUESTS[name])
    required = {field for field, declaration in fields.items() if declaration.required}
    assert set(re.findall(r"`(\w+)` text \(required\)", line)) == required


@pytest.mark.parametrize(
    "words",
    [
        "`type` header/section/divider",
        "one of body and blocks must be there",
        "| GET /metrics/describe | `metric.describe` | `?service=&team=&environment=` |",
        "| GET /services | `service.query` | - |",
    ],
)
def test_the_page_of_capabilities_tells(words: str) -> None:
    assert words in capabilities_page()


def test_the_page_of_capabilities_leaves_out_what_nobody_reads() -> None:
    assert declared(SHAPES_OF_REQUESTS["LogQuery"])["providers"].metadata["dropped"]
    assert "providers" not in capabilities_page()


def capabilities_page() -> str:
    return generated_files()["docs/capabilities.md"]


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

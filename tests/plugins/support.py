"""What the tests of all adapters share: providers that do not wait, processes, README tables."""

import ast
import dataclasses
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from opsorch.plugin.testing import PluginProcess
from tests.harness import ROOT

Json = dict[str, Any]


def unhurried(upstream: Any, pauses: list[float]) -> None:
    """Have an Upstream note the waits between tries instead of waiting."""
    upstream._sleep = pauses.append
    upstream._jitter = lambda: 0.0


@dataclasses.dataclass
class Plugin:
    """A plugin process with its configuration; calling it gives the result of a method."""

    process: PluginProcess
    config: Json
    secret: str

    def __call__(self, method: str, payload: Any = None, **context: Any) -> Any:
        frame = self.process.call(method, payload, config=self.config, context=context or None)
        assert "error" not in frame, frame
        return frame["result"]

    def error(self, method: str, payload: Any = None, **context: Any) -> Json:
        """Call a method that fails; the error does not show the secret."""
        frame = self.process.call(method, payload, config=self.config, context=context or None)
        assert self.secret not in str(frame)
        error: Json = frame["error"]
        return error


def readme_of(name: str) -> str:
    """The text of an adapter's README."""
    return (ROOT / "plugins" / name / "README.md").read_text(encoding="utf-8")


def marked_tests(name: str) -> dict[int, set[str]]:
    """The tests of each numbered case, ``file::function``, by the marks in an adapter's folder."""
    found: dict[int, set[str]] = {}
    for path in (pathlib.Path(__file__).parent / name).glob("test_*.py"):
        for page, number, function in marks_in(path):
            # The demo proves cases of the orchestration's page, too.
            assert page in (name, "orchestration"), f"{path.name}::{function}"
            if page == name:
                found.setdefault(number, set()).add(f"{path.name}::{function}")
    return found


def marks_in(path: pathlib.Path) -> Iterator[tuple[str, int, str]]:
    """Yield page, number and function of every ``pytest.mark.case`` of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            match mark:
                case ast.Call(func=ast.Attribute(attr="case"), args=[page, number]):
                    assert isinstance(node, ast.FunctionDef)
                    yield ast.literal_eval(page), ast.literal_eval(number), node.name


def listed_tests(name: str) -> dict[int, set[str]]:
    """The tests of each numbered case by the table at the end of an adapter's README."""
    table = readme_of(name).partition("## Test cases")[2]
    rows = re.findall(r"^\| (\d+) \|[^|]*\|(.*)\|$", table, re.MULTILINE)
    return {int(number): set(re.findall(r"`([^`]+)`", tests)) for number, tests in rows}


def every_case_is_proved(name: str, *, count: int) -> None:
    """The cases 1 to ``count`` all have tests, and the README lists these and no others."""
    assert sorted(marked_tests(name)) == list(range(1, count + 1))
    assert listed_tests(name) == marked_tests(name)

"""Read a plan file: every problem of it in one message, each with its line."""

import graphlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from opsorch.errors import InvalidConfig
from opsorch.runbooks.plans import STEP_TYPES, Exec, Plan, Presence, Step
from opsorch.runbooks.yamltree import (
    Problem,
    Unreadable,
    compose,
    is_empty,
    is_null,
    line_of,
    pairs_of,
    resolved,
    shown,
)

MAX_STEPS: Final = 500
# A file of nothing but faults must not make a message without end.
MAX_PROBLEMS: Final = 100
_MAX_CYCLES: Final = 10
MAX_TIMEOUT_S: Final = 86400
MAX_RETRIES: Final = 5

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_BOOLEANS: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "false": False,
    "no": False,
    "off": False,
}
_ON_LOST: Final = ("fail", "retry")


class PlanInvalid(InvalidConfig):
    """A plan file does not hold a valid plan.

    Attributes:
        file: Base name of the file.
        plan_id: The id that the plan has or would have.
        problems: All that is wrong, in order of lines.
    """

    def __init__(self, file: str, plan_id: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.plan_id = plan_id
        self.problems = tuple(sorted(set(problems)))
        listed = [str(problem) for problem in self.problems[:MAX_PROBLEMS]]
        more = len(self.problems) - len(listed)
        rest = [f"and {more} more"] if more else []
        super().__init__(f"plan file {file}: {'; '.join([*listed, *rest])}")


def parse_plan(source: bytes, file: str) -> Plan:
    """Read a plan; its id is the stem of the file's name unless it has one.

    Args:
        source: The content of the file.
        file: Its base name.

    Raises:
        PlanInvalid: All problems in one message.
    """
    stem = PurePath(file).stem
    try:
        root = compose(source)
    except Unreadable as unreadable:
        raise PlanInvalid(file, stem, [unreadable.problem]) from unreadable
    if not isinstance(root, MappingNode):
        line = line_of(root) if root is not None else 0
        raise PlanInvalid(file, stem, [Problem(line, "must be a YAML mapping")])
    reader = _PlanReader(stem)
    plan = reader.plan(root)
    if reader.problems or plan is None:
        raise PlanInvalid(file, reader.plan_id, reader.problems)
    return plan


class _Mapping:
    """One mapping of the file and the keys it may have; collects what is wrong with it."""

    def __init__(
        self, node: Node, where: str, keys: Sequence[str], problems: list[Problem]
    ) -> None:
        self.where = where
        self.problems = problems
        self.line = line_of(node)
        self._nodes: dict[str, Node] = {}
        self._lines: dict[str, int] = {}
        if not isinstance(node, MappingNode):
            self.report("must be a mapping")
            return
        for key, line, value in pairs_of(node, problems):
            if key in keys:
                self._nodes[key], self._lines[key] = value, line
            else:
                accepted = ", ".join(keys)
                self.report(f"unknown key {shown(key)}; use one of {accepted}", line)

    def report(self, text: str, line: int | None = None) -> None:
        """Add a problem, at the line of the mapping unless another is given."""
        prefix = f"{self.where}: " if self.where else ""
        self.problems.append(Problem(self.line if line is None else line, f"{prefix}{text}"))

    def line_at(self, key: str) -> int:
        """Return the line of a key, or of the mapping where the key is missing."""
        return self._lines.get(key, self.line)

    def node(self, key: str) -> Node | None:
        """Return a value that is no text; null means that it is not given."""
        node = self._nodes.get(key)
        return None if node is None or is_null(node) else node

    def text(self, key: str, default: str = "") -> str:
        """Return the source text of a scalar; nothing after the key means "not given"."""
        node = self._nodes.get(key)
        if node is None or is_empty(node):
            return default
        if isinstance(node, ScalarNode):
            return str(node.value)
        self.report(f"{key} must be a text", line_of(node))
        return default

    def required(self, key: str) -> str:
        """Return a text that must be there and not blank, trimmed."""
        text = self.text(key).strip()
        node = self._nodes.get(key)
        if not text and (node is None or isinstance(node, ScalarNode)):
            fault = "is required" if node is None else "must not be blank"
            self.report(f"{key} {fault}", self.line_at(key))
        return text

    def identifier(self, key: str, text: str) -> str:
        """Return an id, having checked its form."""
        if text and (not _ID.fullmatch(text) or ".." in text):
            self.report(
                f"{key} {shown(text)} must be at most 128 letters, digits, '.', '_' or '-', begin"
                " with a letter or digit, and have no '..'",
                self.line_at(key),
            )
        return text

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        node = self.node(key)
        if node is None:
            return ()
        if not isinstance(node, SequenceNode):
            self.report(f"{key} must be a list of texts", line_of(node))
            return ()
        for item in node.value:
            if not isinstance(item, ScalarNode):
                self.report(f"{key} must be a list of texts", line_of(item))
        return tuple(str(item.value) for item in node.value if isinstance(item, ScalarNode))

    def text_map(self, key: str) -> dict[str, str]:
        """Return a mapping of texts to texts."""
        node = self.node(key)
        if node is None:
            return {}
        if not isinstance(node, MappingNode):
            self.report(f"{key} must be a mapping of texts", line_of(node))
            return {}
        texts = {}
        for name, line, value in pairs_of(node, self.problems):
            if isinstance(value, ScalarNode):
                texts[name] = str(value.value)
            else:
                self.report(f"{key}.{clean_key(name)} must be a text", line)
        return texts

    def bag(self, key: str) -> dict[str, Any]:
        """Return a free-form object, its scalars resolved."""
        node = self.node(key)
        if node is None:
            return {}
        if not isinstance(node, MappingNode):
            self.report(f"{key} must be a mapping", line_of(node))
            return {}
        bag: dict[str, Any] = resolved(node, self.problems)
        return bag

    def number(self, key: str, low: int, high: int) -> int | None:
        """Return a whole number within bounds, None where it is not given."""
        node = self.node(key)
        if node is None:
            return None
        text = node.value if isinstance(node, ScalarNode) else ""
        if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) and low <= int(text) <= high:
            return int(text)
        self.report(f"{key} must be a whole number between {low} and {high}", line_of(node))
        return None

    def word(self, key: str, table: Mapping[str, Any], default: str) -> str:
        """Return a word of a table, the default where it is not given."""
        text = self.text(key, default).strip()
        if text not in table:
            accepted = ", ".join(table)
            self.report(f"{key} {shown(text)} is unknown; use one of {accepted}", self.line_at(key))
            return default
        return text

    def boolean(self, key: str) -> bool:
        """Return true or false, false where it is not given."""
        text = self.text(key, "false").strip().casefold()
        if text not in _BOOLEANS:
            self.report(f"{key} must be true or false", self.line_at(key))
        return _BOOLEANS.get(text, False)


def clean_key(name: str) -> str:
    """Return a key of the file as messages show it, unquoted."""
    return shown(name)[1:-1]


_PLAN_KEYS: Final = (
    *("id", "title", "description", "version", "service", "team", "environment", "tags", "url"),
    *("fields", "metadata", "steps"),
)
_STEP_KEYS: Final = (
    *("id", "title", "type", "description", "reasoning", "dependsOn", "exec", "optional"),
    *("fields", "metadata"),
)
_EXEC_KEYS: Final = ("image", "command", "args", "env", "timeoutSeconds", "retries", "onLost")


class _PlanReader:
    """Reads one plan and collects every problem of it."""

    def __init__(self, stem: str) -> None:
        self.plan_id = stem
        self.problems: list[Problem] = []

    def plan(self, root: Node) -> Plan | None:
        """Read the whole plan; None where its steps cannot be read."""
        given = _Mapping(root, "", _PLAN_KEYS, self.problems)
        self.plan_id = given.text("id").strip() or self.plan_id
        given.identifier("id", self.plan_id)
        steps = self._steps(given)
        return Plan(
            id=self.plan_id,
            title=given.required("title"),
            service=given.required("service"),
            team=given.required("team"),
            environment=given.required("environment"),
            description=given.text("description"),
            version=given.text("version").strip(),
            url=given.text("url").strip(),
            tags=given.text_map("tags"),
            fields=given.bag("fields"),
            metadata=given.bag("metadata"),
            steps=steps,
        )

    def _steps(self, plan: _Mapping) -> tuple[Step, ...]:
        node = plan.node("steps")
        if node is None or (isinstance(node, SequenceNode) and not node.value):
            plan.report("steps must have at least one step", plan.line_at("steps"))
            return ()
        if not isinstance(node, SequenceNode):
            plan.report("steps must be a list", line_of(node))
            return ()
        if len(node.value) > MAX_STEPS:
            plan.report(f"steps must be at most {MAX_STEPS}", plan.line_at("steps"))
            return ()
        read = [self._step(item, number) for number, item in enumerate(node.value, start=1)]
        _check_steps(read)
        return tuple(step for step, _ in read)

    def _step(self, node: Node, number: int) -> tuple[Step, _Mapping]:
        given = _Mapping(node, f"step {number}", _STEP_KEYS, self.problems)
        step_id = given.identifier("id", given.required("id"))
        if step_id:
            given.where = f"step {clean_key(step_id)}"
        kind = given.word("type", STEP_TYPES, "manual")
        step = Step(
            id=step_id,
            title=given.required("title"),
            type=kind,
            description=given.text("description"),
            reasoning=given.text("reasoning"),
            depends_on=tuple(dict.fromkeys(given.texts("dependsOn"))),
            exec=self._exec(given, kind),
            optional=given.boolean("optional"),
            fields=given.bag("fields"),
            metadata=given.bag("metadata"),
        )
        return step, given

    def _exec(self, step: _Mapping, kind: str) -> Exec | None:
        # An unknown type is a problem of its own; nothing follows from the default.
        known = step.text("type", kind).strip() in STEP_TYPES
        node, presence = step.node("exec"), STEP_TYPES[kind].runs
        if node is None:
            if presence is Presence.REQUIRED:
                step.report(f"exec is required in a step of type {kind}")
            return None
        if known and presence is Presence.FORBIDDEN:
            step.report(
                f"exec is not allowed in a step of type {kind}; use automated, invoke, verify or"
                " observe",
                step.line_at("exec"),
            )
        given = _Mapping(node, f"{step.where}: exec", _EXEC_KEYS, self.problems)
        return Exec(
            image=given.required("image") if isinstance(node, MappingNode) else "",
            command=given.texts("command"),
            args=given.texts("args"),
            env=given.text_map("env"),
            timeout_s=given.number("timeoutSeconds", 1, MAX_TIMEOUT_S),
            retries=given.number("retries", 0, MAX_RETRIES) or 0,
            on_lost=given.word("onLost", dict.fromkeys(_ON_LOST), "fail"),
        )


Read = Sequence[tuple[Step, _Mapping]]


def _check_steps(read: Read) -> None:
    """Report what is wrong between steps: repeated ids, dangling dependencies, cycles."""
    by_id: dict[str, tuple[Step, _Mapping]] = {}
    for step, given in read:
        if step.id in by_id and step.id:
            first = by_id[step.id][1].line_at("id")
            given.report(f"the id stands in line {first} already", given.line_at("id"))
        by_id.setdefault(step.id, (step, given))
    for step, given in read:
        line = given.line_at("dependsOn")
        for other_id in step.depends_on:
            if other_id not in by_id or not other_id:
                given.report(f"dependsOn names {shown(other_id)}, no step of this plan", line)
            elif by_id[other_id][0].optional and not step.optional:
                given.report(
                    f"a required step may not depend on the optional step {clean_key(other_id)}",
                    line,
                )
    _report_cycles(by_id)


def _report_cycles(by_id: Mapping[str, tuple[Step, _Mapping]]) -> None:
    """Report cycles of dependencies, each once, its steps in order."""
    order = {step_id: position for position, step_id in enumerate(by_id)}
    graph = {
        step_id: {other for other in step.depends_on if other in by_id}
        for step_id, (step, _) in by_id.items()
    }
    for _ in range(_MAX_CYCLES):
        cycle = _first_cycle(graph, order.__getitem__)
        if not cycle:
            return
        given = by_id[cycle[0]][1]
        path = " -> ".join(map(clean_key, [*cycle, cycle[0]]))
        given.report(f"dependsOn goes round in a cycle: {path}", given.line_at("dependsOn"))
        # Without this edge the other cycles show.
        graph[cycle[0]].discard(cycle[1 % len(cycle)])


def _first_cycle(graph: Mapping[str, set[str]], position: Callable[[str], int]) -> list[str]:
    """Return the steps of a cycle, each depending on the next, the earliest of the plan first."""
    try:
        graphlib.TopologicalSorter({key: sorted(graph[key]) for key in graph}).prepare()
    except graphlib.CycleError as exc:
        # graphlib lists each before the one that depends on it, and the first again at the end.
        cycle: list[str] = exc.args[1][:0:-1]
        first = cycle.index(min(cycle, key=position))
        return cycle[first:] + cycle[:first]
    return []

"""YAML as a tree of nodes with line numbers, whose scalars keep their source text.

``version: 1.10`` and ``environment: on`` are the texts "1.10" and "on". Nothing is resolved
unless ``resolved`` is asked; no tag makes an object; size, depth and alias expansions are bounded.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from opsorch.observability.redact import clean_text

MAX_BYTES: Final = 256 * 1024
MAX_ALIASES: Final = 1000
MAX_DEPTH: Final = 50

# libyaml is about ten times as fast; both read the same.
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STANDARD_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")
)

# The core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#1032-tag-resolution), which reads
# ``on`` and ``no`` as text, as JSON's authors expect.
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGERS: Final = (
    (re.compile(r"[-+]?[0-9]{1,300}"), 10),
    (re.compile(r"0o[0-7]{1,300}"), 8),
    (re.compile(r"0x[0-9a-fA-F]{1,300}"), 16),
)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault of a file, with its line counted from 1; 0 where it concerns the whole file."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


class Unreadable(ValueError):
    """A file is no YAML, or not within the bounds."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def compose(source: bytes) -> Node | None:
    """Read the one document of a file; None where it is empty.

    Raises:
        Unreadable: It is too large or too deep, no YAML, has several documents, a tag of its own,
            too many alias expansions, or characters that are no text.
    """
    if len(source) > MAX_BYTES:
        raise Unreadable(Problem(0, f"larger than {MAX_BYTES // 1024} KiB"))
    try:
        text = source.decode("utf-8-sig")
        _check_events(text)
        root: Node | None = yaml.compose(text, Loader=_Loader)
    except UnicodeDecodeError as exc:
        line = source.count(b"\n", 0, exc.start) + 1
        raise Unreadable(Problem(line, "is not UTF-8")) from exc
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        said = clean_text(f"{exc.context or ''} {exc.problem or ''}", 200)
        raise Unreadable(Problem(mark.line + 1 if mark else 0, f"no YAML: {said}")) from exc
    except yaml.YAMLError as exc:
        raise Unreadable(Problem(0, "no YAML: it holds characters that YAML forbids")) from exc
    if root is not None:
        _Expansions().measure(root)
    return root


def _check_events(text: str) -> None:
    """Refuse depth and tags before composing, which recurses as deep as the file says."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise Unreadable(Problem(line, f"nested deeper than {MAX_DEPTH}"))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        tag = getattr(event, "tag", None)
        if tag is not None and tag not in _STANDARD_TAGS:
            raise Unreadable(Problem(line, f"the tag {clean_text(tag, 60)} is not allowed"))


class _Expansions:
    """Counts what a file's aliases expand to, without expanding them."""

    def __init__(self) -> None:
        # Node id -> alias expansions below it, and its height. Nodes live as long as the root.
        self._measured: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()

    def measure(self, node: Node) -> tuple[int, int]:
        """Return the expansions below a node and its height; refuse too many, and cycles."""
        line = node.start_mark.line + 1
        if id(node) in self._open:
            raise Unreadable(Problem(line, "an alias contains itself"))
        if isinstance(node, ScalarNode):
            _check_text(node)
        self._open.add(id(node))
        count, height = 0, 0
        for child in _children(node):
            again = id(child) in self._measured
            below = self._measured[id(child)] if again else self.measure(child)
            count, height = count + below[0] + again, max(height, below[1] + 1)
        self._open.remove(id(node))
        if count > MAX_ALIASES:
            raise Unreadable(Problem(line, f"more than {MAX_ALIASES} alias expansions"))
        if height > MAX_DEPTH:
            raise Unreadable(Problem(line, f"nested deeper than {MAX_DEPTH}"))
        self._measured[id(node)] = (count, height)
        return count, height


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _check_text(node: ScalarNode) -> None:
    """Refuse what a database or JSON cannot hold; escapes can write it."""
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in node.value):
        line = node.start_mark.line + 1
        raise Unreadable(Problem(line, "a text holds NUL or half a character"))


def is_null(node: Node) -> bool:
    """Tell whether a node is a plain null, which outside of texts means "not given"."""
    return isinstance(node, ScalarNode) and not node.style and _WORDS.get(node.value, 1) is None


def is_empty(node: Node) -> bool:
    """Tell whether nothing stands after the key; ``~`` and ``null`` are texts."""
    return isinstance(node, ScalarNode) and not node.style and node.value == ""


def line_of(node: Node) -> int:
    """Return the line of a node, counted from 1."""
    return int(node.start_mark.line) + 1


def resolved(node: Node, problems: list[Problem]) -> Any:
    """Return a node as JSON, plain scalars resolved by YAML 1.2's core schema.

    Numbers that JSON does not have, keys that are no scalars and repeated keys are problems.
    """
    if isinstance(node, ScalarNode):
        return _scalar(node, problems)
    if isinstance(node, SequenceNode):
        return [resolved(item, problems) for item in node.value]
    return {key: resolved(value, problems) for key, _, value in pairs_of(node, problems)}


def pairs_of(node: Node, problems: list[Problem]) -> list[tuple[str, int, Node]]:
    """Return the key, its line and the value of each pair of a mapping, repeated keys reported."""
    seen: dict[str, tuple[str, int, Node]] = {}
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            problems.append(Problem(line_of(key), "a key must be a text"))
        elif key.value in seen:
            first = seen[key.value][1]
            text = f"key {shown(key.value)} is repeated; it stands in line {first} already"
            problems.append(Problem(line_of(key), text))
        else:
            seen[key.value] = (key.value, line_of(key), value)
    return list(seen.values())


def shown(text: str) -> str:
    """Return a text of the file as messages quote it."""
    return repr(clean_text(text, 60))


def _scalar(node: ScalarNode, problems: list[Problem]) -> Any:
    text: str = node.value
    if node.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(text):
            return int(text, base)
    if _FLOAT.fullmatch(text) or _NO_NUMBER.fullmatch(text):
        number = float(text.replace(".", "", 1)) if _NO_NUMBER.fullmatch(text) else float(text)
        if not math.isfinite(number):
            problems.append(Problem(line_of(node), f"{shown(text)} is a number that JSON has not"))
        return number
    return text

"""PromQL written so that no input can leave its place: names, quoted values, selectors.

Source: prometheus.io, "Querying basics" (selectors, string literals) and "Data model" (names);
the parser's own behaviour was checked against Prometheus 2.42.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import text_of

CLASSIC_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
CLASSIC_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

# A bare metric of such a name is read as something else, or refused, by some version. Besides
# PromQL's own words: those of MetricsQL, which VictoriaMetrics speaks.
_KEYWORDS = """
    and or unless atan2 sum avg count min max group stddev stdvar topk bottomk count_values
    quantile limitk limit_ratio offset by without on ignoring group_left group_right bool
    smoothed anchored fill fill_left fill_right inf nan infinity start end step range
    default if ifnot with limit keep_metric_names
"""
KEYWORDS: Final = frozenset(_KEYWORDS.split())

_CONTROL = {chr(code): f"\\x{code:02x}" for code in (*range(32), 127)}
# U+FFFD raw is refused ("invalid UTF-8 rune"), as an escape it is fine.
_NAMED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\ufffd": "\\ufffd"}
_ESCAPES: Final = str.maketrans({**_CONTROL, **_NAMED})

_RE2_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")
_ANYTHING = re.compile(r"(?:\.\*)*")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label matcher; ``operator`` is one of ``= != =~ !~``."""

    label: str
    operator: str
    value: str

    def __str__(self) -> str:
        """Write it as PromQL has it."""
        return f"{label_text(self.label)}{self.operator}{quoted(self.value)}"

    @property
    def excludes_empty(self) -> bool:
        """Tell whether it surely refuses the empty string; of a regex this is a guess.

        Where the guess is too kind, Prometheus itself refuses the selector.
        """
        matches_all = bool(_ANYTHING.fullmatch(self.value))
        return {
            "=": self.value != "",
            "!=": self.value == "",
            "=~": not matches_all,
            "!~": matches_all,
        }[self.operator]


# word of a filter -> the operator, and whether the value is a piece of text to be found
OPERATORS: Final[Mapping[str, tuple[str, bool]]] = {
    "=": ("=", False),
    "==": ("=", False),
    "!=": ("!=", False),
    "=~": ("=~", False),
    "!~": ("!~", False),
    "contains": ("=~", True),
    "not contains": ("!~", True),
}


def matcher_of(given: Mapping[str, Any], where: str) -> Matcher:
    """Read a {label, operator, value} as a matcher.

    Raises:
        BadRequest: Names the part under ``where`` that does not fit.
    """
    label = label_name(text_of(given, "label", where=f"{where}."), f"{where}.label")
    word = " ".join(text_of(given, "operator", where=f"{where}.").casefold().split()) or "="
    if word not in OPERATORS:
        accepted = ", ".join(OPERATORS)
        raise BadRequest(f"{where}.operator: unknown operator; use one of {accepted}")
    operator, contained = OPERATORS[word]
    value = utf8(text_of(given, "value", where=f"{where}."), f"{where}.value")
    return Matcher(label, operator, f".*{re2_literal(value)}.*" if contained else value)


def utf8(value: str, field: str) -> str:
    """Return the text if it can be written as UTF-8.

    Raises:
        BadRequest: It holds a lone surrogate.
    """
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise BadRequest(f"{field} must be valid Unicode; it holds a lone surrogate") from exc
    return value


def label_name(name: str, field: str) -> str:
    """Return the name, trimmed, if a label may have it.

    Raises:
        BadRequest: It is blank or holds control characters.
    """
    stripped = utf8(name, field).strip()
    if not stripped:
        raise BadRequest(f"{field} is required")
    if any(character in _CONTROL for character in stripped):
        raise BadRequest(f"{field} must not hold control characters")
    return stripped


def quoted(value: str) -> str:
    """Write a string literal.

    JSON's form will not do: Prometheus refuses characters written as surrogate pairs.
    """
    return f'"{value.translate(_ESCAPES)}"'


def label_text(name: str) -> str:
    """Write a label name: bare where the classic grammar allows it, else quoted (Prometheus 3)."""
    return name if CLASSIC_LABEL.fullmatch(name) else quoted(name)


def re2_literal(value: str) -> str:
    """Escape a text so that as an RE2 pattern it matches itself."""
    return _RE2_SPECIAL.sub(r"\\\1", value)


def selector(metric: str, matchers: Sequence[Matcher] = ()) -> str:
    """Write a vector selector; an unusual name goes into the braces, which any version takes."""
    bare = CLASSIC_METRIC.fullmatch(metric) and metric.casefold() not in KEYWORDS
    named = [f"__name__={quoted(metric)}"] if metric and not bare else []
    inside = ",".join([*named, *map(str, matchers)])
    return f"{metric if bare else ''}{f'{{{inside}}}' if inside else ''}"


def scope_matchers(scope: Mapping[str, str], labels: Mapping[str, str]) -> list[Matcher]:
    """Turn the given parts of a scope into matchers, in the order service, team, environment."""
    parts: Iterable[str] = ("service", "team", "environment")
    return [
        Matcher(labels[part], "=", utf8(scope[part], f"scope.{part}"))
        for part in parts
        if part in scope
    ]

"""The few regular expressions that Datadog's filters can express: alternatives and ``.*``.

Neither tag filters of metrics nor log searches know regular expressions:
https://docs.datadoghq.com/metrics/advanced-filtering/ and
https://docs.datadoghq.com/logs/explorer/search_syntax/#wildcards.
"""

import re
from dataclasses import dataclass
from typing import Final

from opsorch.errors import BadRequest

_SPECIAL: Final = frozenset(".*+?()[]{}^$|")
_TOKEN = re.compile(r"\\(.)|(\.\*|\.\+)|(.)", re.DOTALL)
# Parentheses around it all, as dashboards write several chosen values.
_GROUP = re.compile(r"\((?:\?:)?([^()]*)\)")
# Behind a backslash letters and digits have meanings of their own.
_ESCAPABLE = re.compile(r"[^A-Za-z0-9]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text that a value equals, or that stands at its start, its end or within it.

    Attributes:
        text: The literal part; "" together with an open end means any value.
        open_start: Anything may stand before it.
        open_end: Anything may stand behind it.
    """

    text: str
    open_start: bool = False
    open_end: bool = False

    @property
    def literal(self) -> bool:
        """It is a text without wildcards."""
        return not (self.open_start or self.open_end)


def patterns_of(regex: str, what: str) -> list[Pattern]:
    """Return a regex as literals, or as one pattern with a wildcard at its ends.

    Args:
        regex: Matches a whole value, as in Prometheus.
        what: What has no regular expressions, for the message.

    Raises:
        BadRequest: It says more than that.
    """
    body = regex.strip().removeprefix("^")
    if body.endswith("$") and not body.endswith("\\$"):
        body = body[:-1]
    group = _GROUP.fullmatch(body)
    body = group[1] if group else body
    refused = BadRequest(
        f"{what} have no regular expressions; alternatives of plain texts (a|b), and .* at the"
        " start or end of one text, are possible; a dot is written \\."
    )
    found = [_pattern(part) for part in _alternatives(body)]
    patterns = [pattern for pattern in found if pattern is not None]
    if len(patterns) != len(found) or (
        len(patterns) > 1 and not all(pattern.literal for pattern in patterns)
    ):
        raise refused
    return patterns


def _alternatives(regex: str) -> list[list[tuple[str, str]]]:
    """Split at each bare ``|``; a token is its kind and text."""
    parts: list[list[tuple[str, str]]] = [[]]
    for escaped, wild, plain in _TOKEN.findall(regex):
        if plain == "|":
            parts.append([])
        elif escaped:
            kind = "text" if _ESCAPABLE.fullmatch(escaped) else "other"
            parts[-1].append((kind, escaped))
        elif wild:
            parts[-1].append((wild, ""))
        else:
            kind = "other" if plain in _SPECIAL or plain == "\\" else "text"
            parts[-1].append((kind, plain))
    return parts


def _pattern(tokens: list[tuple[str, str]]) -> Pattern | None:
    """Read one alternative; None where it says more than a Pattern can."""
    if [kind for kind, _ in tokens] in ([".+"], [".*"]):
        return Pattern("", open_end=True)
    open_start = bool(tokens) and tokens[0][0] == ".*"
    middle = tokens[1:] if open_start else tokens
    open_end = bool(middle) and middle[-1][0] == ".*"
    middle = middle[:-1] if open_end else middle
    text = "".join(text for _, text in middle)
    if not text.strip() or any(kind != "text" for kind, _ in middle):
        return None
    return Pattern(text, open_start, open_end)

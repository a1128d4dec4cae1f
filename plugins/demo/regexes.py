"""Regular expressions of callers: real ones, but none that keeps the process busy for ever.

Python's matcher tries every way to divide a text among repeats and choices. The texts here are
short, so a few of them in a row do no harm; a repeat of a group that repeats or chooses does, and
is refused.
"""

import re
from typing import Final

from opsorch.errors import BadRequest

MOST_CHARS: Final = 200
MOST_REPEATS: Final = 4
MOST_CHOICES: Final = 12

# What a pattern is made of, as far as it matters here. ``more`` repeats what stands before it.
_TOKEN: Final = re.compile(
    r"""(?P<plain> \\. | \[\^?\]?(?:\\.|[^\]\\])*\] | \(\?\#[^)]*\) | \(\?[aiLmsux]+\)
        | \(\?P=\w+\))
      | (?P<opens> \( (?: \?(?:P<\w+>|<?[=!]|[aiLmsux-]*:|>) )? )
      | (?P<closes> \) )
      | (?P<more> [*+] | \{\d+,?\d*\} | \{,\d+\} )
      | (?P<maybe> \? )
      | (?P<either> \| )
      | (?P<other> . )""",
    re.VERBOSE | re.DOTALL,
)


def compiled(pattern: str, field: str) -> re.Pattern[str]:
    """Compile a caller's pattern.

    Args:
        pattern: The pattern.
        field: What errors call it.

    Raises:
        BadRequest: It is too long, is none, or could take for ever; names the field.
    """
    if len(pattern) > MOST_CHARS:
        raise BadRequest(f"{field}: a regex may have at most {MOST_CHARS} characters")
    try:
        found = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as exc:
        raise BadRequest(f"{field} is no valid regex: {exc}") from exc
    complaint = _complaint(pattern, found)
    if complaint:
        raise BadRequest(f"{field}: {complaint}; write a simpler regex")
    return found


def _complaint(pattern: str, found: re.Pattern[str]) -> str:
    """Say why a valid pattern could take for ever; "" where it cannot."""
    if found.flags & re.VERBOSE:
        return "a regex must not be verbose"
    shape = _Shape()
    for match in _TOKEN.finditer(pattern):
        shape.take(match.lastgroup or "other")
    if shape.nested:
        return "it repeats a group that itself repeats or has alternatives"
    if shape.repeats > MOST_REPEATS:
        return f"it has more than {MOST_REPEATS} repeats"
    if shape.choices > MOST_CHOICES:
        return f"it has more than {MOST_CHOICES} choices"
    return ""


class _Shape:
    """What the tokens of a pattern amount to.

    Attributes:
        repeats: How many repeats it has.
        choices: How many optional parts and groups with alternatives.
        nested: A group that repeats or has alternatives is repeated.
    """

    def __init__(self) -> None:
        self.repeats = self.choices = 0
        self.nested = False
        # For each open group whether it varies and whether it has alternatives; first the whole.
        self._open = [[False, False]]
        # Whether the token before closed a group that varies.
        self._varied = False

    def take(self, kind: str) -> None:
        """Take in the next token."""
        varied, self._varied = self._varied, False
        group = self._open[-1]
        if kind == "opens":
            self._open.append([False, False])
        elif kind == "closes":
            self._open.pop()
            self._open[-1][0] |= group[0]
            self._varied = group[0]
        elif kind == "more":
            self.repeats += 1
            self.nested |= varied
            group[0] = True
        elif kind == "maybe":
            self.choices += 1
            group[0] = True
        elif kind == "either":
            self.choices += not group[1]
            group[:] = [True, True]

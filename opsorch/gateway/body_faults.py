"""What is wrong with a body that is no JSON, or holds what no plugin can take; and where."""

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from opsorch.capabilities.fields import parse_decimal
from opsorch.observability.redact import clean_text

_PATH_CHARS: Final = 200
_half_pair: Final = re.compile("[\ud800-\udfff]").search


@dataclass(frozen=True, slots=True)
class _TooLarge:
    """A number that no float can hold, as it was written."""

    text: str


def _decimal(text: str) -> Decimal | _TooLarge:
    try:
        return parse_decimal(text)
    except ValueError:
        return _TooLarge(text)


# They take what is to blame, so that its place can be told.
_decode_large: Final = msgspec.json.Decoder(float_hook=_decimal).decode
_decode_halves: Final = json.JSONDecoder(parse_int=len, parse_float=len).decode


def fault_of(data: bytes, exc: Exception) -> str:
    """Say why a body was not decoded, and name the field where a value is to blame.

    Args:
        data: The body.
        exc: What msgspec says, for whom a number is at ``$[...]`` and half a pair a cut.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as bad:
        return f"The body is not valid JSON: it is not UTF-8 (byte {bad.start})."
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(exc, msgspec.ValidationError):
            path, number = _find(_decode_large(data), lambda value: isinstance(value, _TooLarge))
            return f"{path}: the number {number.text[:20]} is out of range."
        path, _ = _find(
            _decode_halves(text),
            lambda value: isinstance(value, str) and _half_pair(value) is not None,
        )
        return f"The body is not valid JSON: {path} must not hold half of a surrogate pair."
    return f"The body is not valid JSON: {exc}."


def _find(value: Any, fits: Callable[[Any], bool]) -> tuple[str, Any]:
    """Return the first value or key that fits, and its path as faults of fields tell it.

    Raises:
        ValueError: There is none.
    """
    # Paths are written for the one that is found: all of them would be far larger than the body.
    waiting: list[tuple[Any, Any, Any]] = [(None, "", value)]
    while waiting:
        step = waiting.pop()
        inner = step[2]
        if fits(inner):
            return _path(step), inner
        if isinstance(inner, dict):
            waiting += [(step, key, below) for key, below in reversed(inner.items())]
            waiting += [(step, key, key) for key in inner if fits(key)]
        elif isinstance(inner, list):
            waiting += [(step, number, inner[number]) for number in reversed(range(len(inner)))]
    raise ValueError("nothing fits")


def _path(step: tuple[Any, Any, Any]) -> str:
    words = []
    while step[0] is not None:
        words.append(str(step[1]))
        step = step[0]
    return clean_text(".".join(reversed(words)), _PATH_CHARS) or "The body"

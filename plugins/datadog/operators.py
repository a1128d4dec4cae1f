"""The operators of filters, in the spellings that callers use."""

from collections.abc import Mapping
from typing import Final

from opsorch.errors import BadRequest

_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "=": ("", "=", "=="),
    "!=": ("!=",),
    "=~": ("=~", "regex"),
    "!~": ("!~", "not regex", "!regex"),
    "contains": ("contains",),
    "not contains": ("not contains", "!contains"),
    "startswith": ("startswith", "starts with", "prefix"),
    "in": ("in",),
    "not in": ("not in", "!in"),
    "exists": ("exists",),
    "not exists": ("not exists", "!exists"),
    ">": (">",),
    ">=": (">=",),
    "<": ("<",),
    "<=": ("<=",),
}
_OPERATOR_OF: Final = {
    spelling: operator for operator, spellings in _SPELLINGS.items() for spelling in spellings
}


def operator_of(text: str, known: frozenset[str], field: str) -> str:
    """Return the operator that a text means; letter case, ``_`` and blanks do not matter.

    Raises:
        BadRequest: It means none of the known ones; lists those.
    """
    folded = " ".join(text.casefold().replace("_", " ").split())
    operator = _OPERATOR_OF.get(folded)
    if operator is None or operator not in known:
        listed = " ".join(name if " " not in name else f'"{name}"' for name in sorted(known))
        raise BadRequest(f"{field} {text.strip()[:30]!r} is unknown; use one of {listed}")
    return operator

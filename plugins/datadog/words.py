"""Severities as callers say them, for alerts and incidents."""

import re
from collections.abc import Mapping
from typing import Final

from opsorch.plugin.payload import unknown_word

SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "sev0": ("sev0", "p0"),
    "critical": ("critical", "p1", "sev1"),
    "high": ("high", "error", "p2", "sev2"),
    "medium": ("medium", "warning", "p3", "sev3"),
    "low": ("low", "p4", "sev4"),
    "info": ("info", "p5", "sev5"),
    "unknown": ("unknown",),
}
_CLASS_OF: Final[Mapping[str, str]] = {
    spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings
}
_IGNORED = re.compile(r"[\s_-]+")


def severity_class(word: str) -> str | None:
    """Return the class that a word means, ``sev0`` and ``unknown`` among them; None for others."""
    return _CLASS_OF.get(_IGNORED.sub("", word.casefold()))


def severity_word(word: str, field: str) -> str:
    """Return the class that a word means.

    Raises:
        BadRequest: It means none; lists those that are accepted.
    """
    found = severity_class(word)
    if found is None:
        raise unknown_word(_CLASS_OF, word, field)
    return found

"""Tags: their normal form, and lists of ``key:value`` as maps."""

from collections.abc import Iterable, Mapping
from typing import Final

from opsorch.errors import BadRequest
from opsorch_plugins.datadog.settings import is_tag_key

MAX_TAG: Final = 200
_KEPT: Final = frozenset("_-:./")


def tag_value(text: str, field: str) -> str:
    """Return a value as Datadog stores it, so that it matches and can hold no syntax.

    Source: https://docs.datadoghq.com/getting_started/tagging/#define-tags

    Raises:
        BadRequest: It is blank; names the field.
    """
    value = text.strip().lower()
    if not value:
        raise BadRequest(f"{field} must not be blank")
    return normal(value)


def normal(text: str) -> str:
    """Replace what a tag cannot hold by ``_``, and cut it at 200 characters."""
    lower = text.lower()
    return "".join(c if c in _KEPT or c.isalpha() or c.isdecimal() else "_" for c in lower)[
        :MAX_TAG
    ]


def tag_key(text: str, field: str) -> str:
    """Return a tag key.

    Raises:
        BadRequest: It is none; names the field.
    """
    key = text.strip()
    if not is_tag_key(key):
        raise BadRequest(f"{field} must be a tag key: a letter, then letters, digits and _ - . /")
    return key


def scope_tags(scope: Mapping[str, str], keys: Mapping[str, str]) -> list[str]:
    """Return the tags ``key:value`` of a scope's parts, in normal form."""
    return [f"{keys[part]}:{tag_value(value, f'scope.{part}')}" for part, value in scope.items()]


def split_tag(tag: str) -> tuple[str, str]:
    """Return key and value; the value of a tag without colon is ""."""
    key, _, value = tag.partition(":")
    return key, value


def values_by_key(tags: Iterable[str]) -> dict[str, list[str]]:
    """Collect the values of each key, each once, in their order."""
    found: dict[str, list[str]] = {}
    for tag in tags:
        key, value = split_tag(tag)
        values = found.setdefault(key, [])
        if value not in values:
            values.append(value)
    return found

"""Reading payloads: the checks that every adapter makes, in one place and with one wording.

The gateway has validated its requests; a plugin is also called by other gateways and by hand.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from opsorch.errors import BadRequest

Json = dict[str, Any]
T = TypeVar("T")


def text_of(payload: Mapping[str, Any], name: str, *, where: str = "") -> str:
    """Return a string field, "" where absent or null.

    Raises:
        BadRequest: It is no string, or holds half of a surrogate pair, which UTF-8 cannot write.
    """
    value = payload.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"{where}{name} must be a string")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise BadRequest(f"{where}{name} holds half of a surrogate pair")
    return value


def required_text(payload: Mapping[str, Any], name: str, *, where: str = "") -> str:
    """Return a string field that must be there and not blank, trimmed.

    Raises:
        BadRequest: ``<name> is required``.
    """
    value = text_of(payload, name, where=where).strip()
    if not value:
        raise BadRequest(f"{where}{name} is required")
    return value


def strings_of(payload: Mapping[str, Any], name: str, *, where: str = "") -> list[str]:
    """Return a list of strings, [] where absent or null.

    Raises:
        BadRequest: It is no list of strings.
    """
    value = payload.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"{where}{name} must be a list of strings")
    return value


def object_of(payload: Mapping[str, Any], name: str, *, where: str = "") -> Json:
    """Return an object field, {} where absent or null.

    Raises:
        BadRequest: It is no object.
    """
    value = payload.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"{where}{name} must be an object")
    return value


def objects_of(payload: Mapping[str, Any], name: str, *, where: str = "") -> list[Json]:
    """Return a list of objects, [] where absent or null.

    Raises:
        BadRequest: It is no list of objects.
    """
    value = payload.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRequest(f"{where}{name} must be a list of objects")
    return value


def scope_of(payload: Mapping[str, Any]) -> dict[str, str]:
    """Return the given parts of ``scope`` (service, team, environment), trimmed, blanks left out.

    Raises:
        BadRequest: A part is no string.
    """
    scope = object_of(payload, "scope")
    parts = {
        name: text_of(scope, name, where="scope.").strip()
        for name in ("service", "team", "environment")
    }
    return {name: value for name, value in parts.items() if value}


def limit_of(payload: Mapping[str, Any], *, default: int, most: int) -> int:
    """Return ``limit``: the default where 0 or absent, never above ``most``.

    Raises:
        BadRequest: It is negative or no whole number.
    """
    value = payload.get("limit")
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRequest("limit must be a whole number of 0 or more")
    return min(value, most) if value else default


def id_of(payload: Mapping[str, Any], *names: str) -> str:
    """Return the first given of the id fields (``id`` unless named), trimmed.

    Raises:
        BadRequest: None is given, or it is no string.
    """
    for name in names or ("id",):
        value = text_of(payload, name).strip()
        if value:
            return value
    raise BadRequest(f"{(names or ('id',))[0]} is required")


def input_of(payload: Mapping[str, Any], *names: str) -> Json:
    """Return the first given object among the named keys (``input`` unless named)."""
    for name in names or ("input",):
        if payload.get(name) is not None:
            return object_of(payload, name)
    return {}


def word_of(table: Mapping[str, T], word: str, field: str) -> T:
    """Translate a word by a table, in any letter case.

    Raises:
        BadRequest: The word is unknown; lists those that are accepted.
    """
    try:
        return table[word.strip().casefold()]
    except KeyError as exc:
        accepted = ", ".join(sorted(table))
        raise BadRequest(
            f"{field}: {word.strip()[:60]!r} is unknown; use one of {accepted}"
        ) from exc


def words_of(table: Mapping[str, T], words: Iterable[str], field: str) -> list[T]:
    """Translate words by a table, each result once, order kept.

    Raises:
        BadRequest: A word is unknown; lists those that are accepted.
    """
    return list(dict.fromkeys(word_of(table, word, field) for word in words))


def all_words_in(query: str, texts: Iterable[Any]) -> bool:
    """Tell whether every blank-separated word of the query occurs in the texts, case folded."""
    haystack = "\n".join(str(text) for text in texts if text is not None).casefold()
    return all(word in haystack for word in query.casefold().split())


def without_empty(shape: Mapping[str, Any]) -> Json:
    """Leave out what is None, "", [] or {}: optional fields of a result are absent, never null."""
    return {key: value for key, value in shape.items() if value not in (None, "", [], {})}

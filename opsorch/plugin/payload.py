"""Reading payloads: the checks that every adapter makes, in one place and with one wording.

The gateway has validated its requests; a plugin is also called by other gateways and by hand.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from opsorch.errors import BadRequest
from opsorch.observability.redact import clean_text

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
    if _is_halved(value):
        raise BadRequest(f"{where}{name} holds half of a surrogate pair")
    return value


def _is_halved(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


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
        BadRequest: It is no list of strings, or one holds half of a surrogate pair.
    """
    value = payload.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"{where}{name} must be a list of strings")
    if any(map(_is_halved, value)):
        raise BadRequest(f"{where}{name} holds half of a surrogate pair")
    return value


def one_or_more_of(payload: Mapping[str, Any], name: str, *, where: str = "") -> list[str]:
    """Return a string as a list of one, or a list of strings; [] where absent or null.

    Raises:
        BadRequest: It is neither.
    """
    if isinstance(payload.get(name), str):
        return [text_of(payload, name, where=where)]
    return strings_of(payload, name, where=where)


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


def string_map_of(payload: Mapping[str, Any], name: str, *, where: str = "") -> dict[str, str]:
    """Return an object of strings, {} where absent or null.

    Raises:
        BadRequest: It is no object, or a value in it is no string.
    """
    values = object_of(payload, name, where=where)
    if not all(isinstance(value, str) for value in values.values()):
        raise BadRequest(f"{where}{name} must be an object of strings")
    return values


def flag_of(payload: Mapping[str, Any], name: str, *, where: str = "") -> bool | None:
    """Return true or false, None where absent or null.

    Raises:
        BadRequest: It is neither.
    """
    value = payload.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{where}{name} must be true or false")
    return value


def whole_of(
    payload: Mapping[str, Any], name: str, *, least: int = 0, where: str = ""
) -> int | None:
    """Return a whole number, None where absent or null.

    Raises:
        BadRequest: It is none, or below ``least``.
    """
    value = payload.get(name)
    if value is not None and not _is_whole(value, least):
        raise BadRequest(f"{where}{name} must be a whole number of {least} or more")
    return value


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def step_of(payload: Mapping[str, Any]) -> int:
    """Return the seconds of ``step``, 0 where absent or null.

    Raises:
        BadRequest: It is negative or no whole number.
    """
    step = payload.get("step")
    if step is not None and not _is_whole(step, 0):
        raise BadRequest("step must be a whole number of seconds, 0 or more")
    return step or 0


def filters_of(expression: Mapping[str, Any]) -> list[tuple[Json, str]]:
    """Return the filters of an expression, each with its place: ``expression.filters[0]``.

    Raises:
        BadRequest: They are no list of objects.
    """
    given = objects_of(expression, "filters", where="expression.")
    return [(entry, f"expression.filters[{i}]") for i, entry in enumerate(given)]


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
    value = whole_of(payload, "limit")
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


def body_and_author(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return the body of a timeline entry as it is, and its author's name, "" for none.

    Raises:
        BadRequest: ``body is required``; or a part is no string.
    """
    body = text_of(entry, "body")
    if not body.strip():
        raise BadRequest("body is required")
    author = text_of(object_of(entry, "actor"), "name", where="actor.")
    return body, clean_text(author, 200)


def word_of(table: Mapping[str, T], word: str, field: str) -> T:
    """Translate a word by a table, in any letter case.

    Raises:
        BadRequest: The word is unknown; lists those that are accepted.
    """
    try:
        return table[word.strip().casefold()]
    except KeyError as exc:
        raise unknown_word(table, word, field) from exc


def unknown_word(table: Iterable[str], word: str, field: str) -> BadRequest:
    """Make the error of a word that a table does not have; it lists those that are accepted."""
    accepted = ", ".join(sorted(table))
    return BadRequest(f"{field}: {word.strip()[:60]!r} is unknown; use one of {accepted}")


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

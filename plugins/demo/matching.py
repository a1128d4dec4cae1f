"""The filters that all queries of the demo world share: every given one must hold."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opsorch.plugin.payload import (
    all_words_in,
    limit_of,
    object_of,
    scope_of,
    strings_of,
    text_of,
)

Json = dict[str, Any]
Test = Callable[[Json], bool]

DEFAULT_LIMIT: Final = 100
MOST: Final = 1000

# Where a result shape says what the scope asks for: of itself, then of its bag.
_SCOPE_PLACES: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "service": (("service",), ("fields", "service")),
    "team": (("fields", "team"),),
    "environment": (("environment",), ("fields", "environment")),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a query asks for: tests that must all hold, and how many results at most."""

    tests: tuple[Test, ...]
    limit: int

    def over(self, objects: Iterable[Json]) -> Iterator[Json]:
        """Yield the objects that fit, in their order, at most ``limit``."""
        found = 0
        for item in objects:
            if all(test(item) for test in self.tests):
                yield item
                found += 1
                if found == self.limit:
                    return


def filter_of(
    payload: Mapping[str, Any], *lists: tuple[str, str], own: Sequence[Test] = ()
) -> Filter:
    """Read the common filters of a query payload.

    Args:
        payload: What the caller asks for.
        lists: Pairs of a payload list and the key of the object that must be one of it, in any
            letter case.
        own: Further tests of the method.

    Raises:
        BadRequest: A filter has the wrong type; names it.
    """
    tests: list[Test] = []
    for name, key in lists:
        words = strings_of(payload, name)
        if words:
            tests.append(one_of(key, words))
    tests += [_in_scope(name, value) for name, value in scope_of(payload).items()]
    tests += own
    query = text_of(payload, "query")
    if query.strip():
        tests.append(lambda item: all_words_in(query, searched_texts(item)))
    return limits_of(payload, tests)


def limits_of(payload: Mapping[str, Any], tests: Sequence[Test]) -> Filter:
    """Add what every query has beside its own tests: metadata and limit.

    Raises:
        BadRequest: Either has the wrong type.
    """
    given = object_of(payload, "metadata")
    bags = [has_metadata(key, value) for key, value in given.items() if value is not None]
    return Filter((*tests, *bags), limit_of(payload, default=DEFAULT_LIMIT, most=MOST))


def one_of(key: str, words: Iterable[str]) -> Test:
    """Make a test that an object's string is one of the words, in any letter case."""
    folded = {word.strip().casefold() for word in words}
    return lambda item: str(item.get(key, "")).casefold() in folded


def has_tags(tags: Mapping[str, Any]) -> Test:
    """Make a test that an object has every tag with that value."""
    return lambda item: all(item["tags"].get(key) == value for key, value in tags.items())


def name_contains(name: str) -> Test:
    """Make a test that the name or the id of an object contains a text, in any letter case."""
    folded = name.strip().casefold()
    return lambda item: folded in item["name"].casefold() or folded in item["id"].casefold()


def has_metadata(key: str, value: Any) -> Test:
    """Make a test that a key of the object's metadata or fields has that value."""

    def test(item: Json) -> bool:
        bags = (item.get("metadata", {}), item.get("fields", {}))
        return any(key in bag and same_json(bag[key], value) for bag in bags)

    return test


def same_json(left: Any, right: Any) -> bool:
    """Tell whether two JSON values are equal; unlike in Python, 1 is not true."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def searched_texts(item: Json) -> Iterator[str]:
    """Yield the texts in which the words of ``query`` are looked for."""
    for key in ("id", "title", "description", "service"):
        yield str(item.get(key, ""))
    yield from strings_in(item.get("fields", {}))


def strings_in(value: Any) -> Iterator[str]:
    """Yield every string of a JSON value, at any depth; keys are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from strings_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings_in(inner)


def _in_scope(name: str, wanted: str) -> Test:
    places = _SCOPE_PLACES[name]

    def test(item: Json) -> bool:
        return any(_at(item, place) == wanted for place in places)

    return test


def _at(item: Json, place: tuple[str, ...]) -> Any:
    value: Any = item
    for key in place:
        value = value.get(key) if isinstance(value, dict) else None
    return value

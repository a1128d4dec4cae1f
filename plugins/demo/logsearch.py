"""What a log query asks for: its window, and the tests that an entry must pass."""

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import (
    limit_of,
    object_of,
    objects_of,
    required_text,
    scope_of,
    strings_of,
    text_of,
)
from opsorch.plugin.severity import SPELLINGS, classes_of
from opsorch.plugin.times import given_range
from opsorch.runbooks.tables import moment
from opsorch_plugins.demo.anomalies import RECOVERY, window
from opsorch_plugins.demo.catalogue import SCENARIO_BY_ID, SERVICES, services_of
from opsorch_plugins.demo.matching import DEFAULT_LIMIT, MOST, Json, Test, has_metadata
from opsorch_plugins.demo.regexes import compiled
from opsorch_plugins.demo.world import World

DEFAULT_SPAN_S: Final = 3600
LONGEST_SPAN: Final = datetime.timedelta(days=31)

# Of the words of all log sources, those that its lines have; two other spellings find them.
SEVERITIES: Final = ("debug", "info", "warning", "error", "critical")
_OTHER_WORDS: Final = {word: classes_of(SPELLINGS)[word] for word in ("warn", "fatal")}

_TRACE: Final = re.compile(r"([0-9a-f]{8})[0-9a-f]{24}")
# A trace takes its name from the minute in which it began, and never reaches past the next.
_TRACE_SPAN: Final = datetime.timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Search:
    """A checked log.query.

    Attributes:
        start: First instant that counts.
        end: First instant that counts no more; not after now.
        services: Whose lines are looked at.
        environments: Where.
        severities: Which severities are looked at; None for all.
        tests: What an entry must pass beside.
    """

    start: datetime.datetime
    end: datetime.datetime
    limit: int
    services: frozenset[str]
    environments: tuple[str, ...]
    severities: frozenset[str] | None
    tests: tuple[Test, ...]

    @property
    def hopeless(self) -> bool:
        """Nothing can be found."""
        return self.start >= self.end or not self.services or not self.environments


def search_of(payload: Mapping[str, Any], world: World) -> Search:
    """Read a log query.

    Raises:
        BadRequest: A field does not fit; names it.
    """
    start, end = _window_of(payload, world.now)
    expression = object_of(payload, "expression")
    scope = scope_of(payload)
    metadata = {
        key: value for key, value in object_of(payload, "metadata").items() if value is not None
    }
    start, end = _narrowed(start, end, metadata, world)
    named = strings_of(expression, "severityIn", where="expression.")
    tests = [_filter_test(item) for item in objects_of(expression, "filters", where="expression.")]
    tests += [has_metadata(key, value) for key, value in metadata.items()]
    search = text_of(expression, "search", where="expression.")
    if search.strip():
        tests.append(search_test(search))
    wanted = scope.get("environment")
    return Search(
        start=start,
        end=end,
        limit=limit_of(payload, default=DEFAULT_LIMIT, most=MOST),
        services=_services_in(scope),
        environments=tuple(name for name in world.environments if wanted in (None, name)),
        severities=frozenset(map(severity_word, named)) if named else None,
        tests=tuple(tests),
    )


def severity_word(word: str) -> str:
    """Return our word for a severity; an unknown one is none of ours and matches nothing."""
    folded = word.strip().casefold()
    return _OTHER_WORDS.get(folded, folded)


def _window_of(
    payload: Mapping[str, Any], now: datetime.datetime
) -> tuple[datetime.datetime, datetime.datetime]:
    start, end = given_range(payload, DEFAULT_SPAN_S, now)
    if start > end:
        raise BadRequest("start must not be after end")
    end = min(end, now)
    if end - start > LONGEST_SPAN:
        raise BadRequest(f"start: the window may be at most {LONGEST_SPAN.days} days long")
    return start, end


def _narrowed(
    start: datetime.datetime, end: datetime.datetime, metadata: Mapping[str, Any], world: World
) -> tuple[datetime.datetime, datetime.datetime]:
    """Cut away the times at which a scenario or a trace cannot have left a line."""
    scenario = metadata.get("scenarioId")
    if isinstance(scenario, str) and scenario in SCENARIO_BY_ID:
        begin, ended = window(scenario, world)
        # A request that began in the last minute may leave its line a little later.
        over = end if ended is None else ended + RECOVERY + _TRACE_SPAN
        start, end = max(start, begin), min(end, over)
    elif scenario is not None:
        end = start
    trace = metadata.get("traceId")
    if trace is not None:
        match = _TRACE.fullmatch(trace) if isinstance(trace, str) else None
        if match is None:
            return start, start
        begin = moment(int(match[1], 16) * 1_000_000)
        start, end = max(start, begin), min(end, begin + _TRACE_SPAN)
    return start, end


def _services_in(scope: Mapping[str, str]) -> frozenset[str]:
    found = frozenset(service.id for service in SERVICES)
    if "service" in scope:
        found &= {scope["service"]}
    if "team" in scope:
        found &= frozenset(services_of(scope["team"]))
    return found


def search_test(search: str) -> Test:
    """Make a test of ``expression.search``.

    Words and quoted phrases must all occur in the message or in a value of the fields, in any
    letter case; an upper-case OR stands between two sets of words of which one is enough.
    """
    sets: list[list[str]] = [[]]
    for phrase, word in re.findall(r'"([^"]*)"?|([^\s"]+)', search):
        if word == "OR":
            sets.append([])
        elif phrase.strip() or word:
            sets[-1].append((phrase or word).casefold())
    wanted = [words for words in sets if words]

    def test(entry: Json) -> bool:
        texts = (entry["message"], *map(text_of_value, entry["fields"].values()))
        haystack = "\n".join(texts).casefold()
        return any(all(word in haystack for word in words) for words in wanted)

    return test if wanted else lambda entry: True


def text_of_value(value: Any) -> str:
    """Return the text that a field's value is compared as: numbers as JSON writes them."""
    return value if isinstance(value, str) else f"{value}"


def _filter_test(item: Mapping[str, Any]) -> Test:
    """Make a test of one filter; an absent field passes only ``!=``."""
    where = "expression.filters."
    field = required_text(item, "field", where=where)
    operator = text_of(item, "operator", where=where).strip().casefold() or "="
    value = text_of(item, "value", where=where)
    if operator not in _COMPARISONS:
        known = ", ".join(_COMPARISONS)
        raise BadRequest(f"{where}operator: {operator[:20]!r} is unknown; use one of {known}")
    if field == "severity" and operator in ("=", "!="):
        value = severity_word(value)
    fits = _COMPARISONS[operator](value)

    def test(entry: Json) -> bool:
        found = value_of(entry, field)
        return operator == "!=" if found is None else fits(found)

    return test


_COMPARISONS: Final[Mapping[str, Callable[[str], Callable[[str], bool]]]] = {
    "=": lambda value: lambda found: found == value,
    "!=": lambda value: lambda found: found != value,
    "contains": lambda value: lambda found: value in found,
    "regex": lambda value: _search(compiled(value, "expression.filters.value")),
}


def _search(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda found: pattern.search(found) is not None


def value_of(entry: Json, field: str) -> str | None:
    """Return the text of a named part of an entry, None where it has none.

    A bare name is looked for in the entry, then in its labels, then in its fields.
    """
    if field in ("service", "severity", "message"):
        return str(entry[field])
    bag, _, name = field.partition(".")
    if name and bag in ("labels", "fields"):
        return text_of_value(entry[bag][name]) if name in entry[bag] else None
    for bag in ("labels", "fields"):
        if field in entry[bag]:
            return text_of_value(entry[bag][field])
    return None

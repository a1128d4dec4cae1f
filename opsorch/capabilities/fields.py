"""The fields that shapes are made of: marshmallow checks requests, msgspec types check results.

One declaration serves both: a Shape is a marshmallow schema, and ``results.py`` derives the msgspec
type of a result from the same fields.
"""

import datetime
import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sized
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

import marshmallow
from marshmallow import fields, validate

from opsorch.observability.redact import clean_text

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
LARGEST_INT: Final = 2**63 - 1
# Checking an item costs far more than reading it: a body within its limit holds half a million.
MOST_ITEMS: Final = 10_000
MOST_TOLD: Final = 10
_NAME_CHARS: Final = 60

_DAY_OF_YEAR = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|1\d|2[0-8]))"
)
_LEAP_YEAR = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = rf"(?:\d{{4}}-{_DAY_OF_YEAR}|{_LEAP_YEAR}-02-29)"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
# RFC 3339 with an upper-case T; the zone is required, any number of fraction digits is taken.
TIME_PATTERN: Final = rf"{_DATE}T{_CLOCK}(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
# Results hold the years 1 to 9999.
UTC_TIME_PATTERN: Final = rf"(?!0000){_DATE}T{_CLOCK}(?:\.\d+)?Z"
_is_time = re.compile(TIME_PATTERN, re.ASCII).fullmatch

_UNKNOWN: Final = "unknown field"

Schema: TypeAlias = type[marshmallow.Schema]


def utc_now(timespec: str = "microseconds") -> str:
    """Return the present time, as requests and results hold it.

    Args:
        timespec: How exactly; a word of ``datetime.isoformat``.
    """
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return f"{now.isoformat(timespec=timespec)}Z"


class Shape(marshmallow.Schema):
    """A named object of the contract: unknown keys are refused, null means "not set"."""

    class Meta:
        """Refuse unknown keys."""

        unknown = marshmallow.RAISE

    error_messages = {"unknown": _UNKNOWN, "type": "must be an object"}

    @marshmallow.pre_load
    def _match_keys(self, data: Any, **_: Any) -> Any:
        """Match keys exactly, else case-folded (the last one wins), and drop nulls."""
        if not isinstance(data, Mapping):
            return data
        if not data.keys() <= self.fields.keys():
            folded = {name.casefold(): name for name in self.fields}
            data = {
                key if key in self.fields else folded.get(key.casefold(), key): value
                for key, value in data.items()
            }
        return {
            key: value for key, value in data.items() if value is not None or key not in self.fields
        }

    @marshmallow.post_load
    def _drop_empty_bags(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Leave out empty free-form objects and what is accepted only to be dropped."""
        return {
            key: value
            for key, value in data.items()
            if not (isinstance(self.fields[key], Bag) and not value)
            and not self.fields[key].metadata.get("dropped")
        }


def shape(name: str, /, **members: fields.Field[Any]) -> Schema:
    """Declare a Shape by its JSON names."""
    return type(name, (Shape,), dict(members))


def declared(of: Schema) -> dict[str, Any]:
    """Return the fields of a shape by name, to be declared in another one or looked at."""
    return of._declared_fields


class _Declared:
    """What a field says of itself beyond marshmallow: ``always`` is the ``*`` of the contract."""

    always: bool

    def _declare(self, options: dict[str, Any]) -> dict[str, Any]:
        self.always = options.pop("always", False)
        described = options.pop("help", "")
        metadata = {
            **options.pop("metadata", {}),
            **({"description": described} if described else {}),
        }
        return {**options, "metadata": metadata}


class Text(fields.String, _Declared):
    """A string."""

    default_error_messages = {
        "invalid": "must be a string",
        "invalid_utf8": "must be a string",
        "required": "is required",
        "null": "must be a string",
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(**self._declare(options))


class WholeNumber(fields.Integer, _Declared):
    """A whole number of 0 or more, written as one: 1.0, 1e2 and "1" are refused."""

    default_error_messages = {"invalid": f"must be a whole number from 0 to {LARGEST_INT}"}

    def __init__(self, **options: Any) -> None:
        super().__init__(strict=True, **self._declare(options))

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        is_int = isinstance(value, int) and not isinstance(value, bool)
        if not is_int or not 0 <= value <= LARGEST_INT:
            raise self.make_error("invalid")
        return int(value)


class Number(fields.Float, _Declared):
    """Any JSON number; results only."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**self._declare(options))


class Time(fields.String, _Declared):
    """An RFC 3339 time; requests pass it on as sent.

    Attributes:
        optional: In a result, absent rather than the zero time.
    """

    default_error_messages = {
        "invalid": "must be an RFC 3339 time with a zone, such as 2026-03-01T10:00:00Z"
    }

    def __init__(self, **options: Any) -> None:
        self.optional = not options.get("always", False)
        super().__init__(**self._declare({"metadata": {"format": "date-time"}, **options}))

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str) or not _is_time(value):
            raise self.make_error("invalid")
        return value


class Bag(fields.Dict, _Declared):
    """A free-form object, passed through exactly."""

    default_error_messages = {"invalid": "must be an object"}

    def __init__(self, **options: Any) -> None:
        super().__init__(**self._declare(options))

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        return value


def _check_count(value: Sized) -> None:
    if len(value) > MOST_ITEMS:
        raise marshmallow.ValidationError(f"must not hold more than {MOST_ITEMS} items")


class Texts(fields.List[str], _Declared):
    """A list of strings."""

    default_error_messages = {"invalid": "must be a list"}

    def __init__(self, **options: Any) -> None:
        super().__init__(Text(), **self._declare(options))

    def _deserialize(self, value: Any, *rest: Any, **options: Any) -> Any:
        if isinstance(value, list):
            _check_count(value)
        return super()._deserialize(value, *rest, **options)


class TextMap(fields.Dict, _Declared):
    """An object whose values are strings."""

    default_error_messages = {"invalid": "must be an object"}

    def __init__(self, **options: Any) -> None:
        super().__init__(keys=Text(), values=Text(), **self._declare(options))

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        _check_count(value)
        # Marshmallow's own would put "value" into the path, which is a field's name, too.
        odd = {
            key: ["must be a string"] for key, text in value.items() if not isinstance(text, str)
        }
        if odd:
            raise marshmallow.ValidationError(odd)
        return value


class One(fields.Nested, _Declared):
    """An object of another shape."""

    default_error_messages = {"type": "must be an object", "null": "must be an object"}

    def __init__(self, nested: Schema, **options: Any) -> None:
        self.nested_shape = nested
        super().__init__(nested, **self._declare(options))


class Many(fields.List[Any], _Declared):
    """A list of objects of another shape."""

    default_error_messages = {"invalid": "must be a list"}

    def __init__(self, nested: Schema, **options: Any) -> None:
        self.nested_shape = nested
        super().__init__(One(nested), **self._declare(options))

    def _deserialize(self, value: Any, *rest: Any, **options: Any) -> Any:
        if isinstance(value, list):
            _check_count(value)
        return super()._deserialize(value, *rest, **options)


def needed(**options: Any) -> Text:
    """Declare a string that must be there and not blank."""
    not_blank = validate.Predicate("strip", error="must not be blank")
    return Text(required=True, validate=not_blank, **options)


def one_of(*words: str) -> Text:
    """Declare a string that is one of the words, and must be there."""
    told = f"must be one of {', '.join(words)}"
    return Text(
        required=True,
        validate=validate.OneOf(words, error=told),
        error_messages={"required": told},
    )


Scope = shape(
    "Scope",
    service=Text(help="Service name or id."),
    team=Text(help="Team name or id."),
    environment=Text(help="Environment, such as prod."),
)


def scope() -> One:
    """Declare the scope of a query; an absent one reaches the plugin as ``{}``."""
    return One(Scope, load_default=dict, help="Which service, team and environment.")


def limit() -> WholeNumber:
    """Declare the limit of a query."""
    return WholeNumber(help="Results at most; 0 or absent leaves it to the provider.")


@functools.cache
def _loader(schema: Schema) -> marshmallow.Schema:
    """Return the one object of a shape that loads: making it costs more than a small body does.

    Loading changes nothing in it, so that threads may share it.
    """
    return schema()


def load(schema: Schema, data: Any) -> dict[str, Any]:
    """Check decoded JSON against a shape.

    Args:
        schema: The shape.
        data: Decoded JSON; None counts as ``{}``.

    Raises:
        Misfit: Names each faulty field by its path, the first ten of them.
    """
    try:
        loaded: dict[str, Any] = _loader(schema).load({} if data is None else data)
    except marshmallow.ValidationError as exc:
        told = list(itertools.islice(_flat(exc.messages_dict), MOST_TOLD + 1))
        more = "; and more" if len(told) > MOST_TOLD else ""
        raise Misfit("; ".join(told[:MOST_TOLD]) + more) from exc
    return loaded


class Misfit(ValueError):
    """A request body does not fit its shape; the text names the fields."""


def _flat(messages: Any, path: str = "") -> Iterator[str]:
    """Flatten marshmallow's nested messages to ``scope.region: unknown field``."""
    if isinstance(messages, dict):
        # Unknown fields stand last; marshmallow tells them in no order.
        unknown = sorted((key for key in messages if messages[key] == [_UNKNOWN]), key=str)
        known = [key for key in messages if messages[key] != [_UNKNOWN]]
        for key in known + unknown:
            inner = messages[key]
            # What concerns a whole object stands under this key; a caller may send such a one, too.
            whole = key == marshmallow.exceptions.SCHEMA and inner != [_UNKNOWN]
            step = "" if whole else clean_text(str(key), _NAME_CHARS)
            yield from _flat(inner, f"{path}.{step}".strip(".") if step else path)
        return
    for text in messages:
        yield f"{path or 'The body'}{':' if text == _UNKNOWN else ''} {text}"


def parse_decimal(text: str) -> Decimal:
    """Keep a number of a request exactly as written; refuse one that no float can hold."""
    try:
        exact = Decimal(text)
    except InvalidOperation:
        exact = Decimal("inf")
    if abs(float(exact)) == float("inf"):
        raise ValueError(f"the number {text[:20]} is out of range")
    return exact

"""Results: decoded and encoded once by msgspec, against types derived from the shapes.

The fast path is one strict decode and one encode; free-form objects stay raw bytes. A reply that
does not fit (a null, a time with an offset, a number as label) goes through a tolerant type whose
objects are mended in Python; a reply with keys in other letter case has them folded first.
"""

import datetime
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, Final

import msgspec
from marshmallow import fields as ma

from opsorch.capabilities import fields as f
from opsorch.errors import ProviderError

_is_null = re.compile(rb"\s*+(null\s*+)?").fullmatch
_is_utc_time = re.compile(f.UTC_TIME_PATTERN, re.ASCII).fullmatch
_zoned = re.compile(r"(.{19})(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII).fullmatch
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class Result:
    """What an operation answers.

    Attributes:
        shape: The shape of the object, or of each object of the list; None where the plugin's
            result is ignored and ``{"status":"ok"}`` is answered.
        many: A list of them.
        wrapped: The answer is an object with the list under this key.
    """

    shape: f.Schema | None
    many: bool = False
    wrapped: str = ""

    def convert(self, raw: bytes | msgspec.Raw) -> bytes:
        """Turn a plugin's result into the body of the answer.

        Raises:
            ProviderError: It does not fit the shape; says where.
        """
        if self.shape is None:
            return b'{"status":"ok"}\n'
        codec = codec_of(self.shape, many=self.many)
        line = codec.convert(raw)
        if self.wrapped:
            return b'{"%s":%s}\n' % (self.wrapped.encode(), line[:-1])
        return line


def many(shape: f.Schema, wrapped: str = "") -> Result:
    """Declare a list result."""
    return Result(shape, many=True, wrapped=wrapped)


def one(shape: f.Schema) -> Result:
    """Declare an object result."""
    return Result(shape)


IGNORED: Final = Result(None)


# --- types ------------------------------------------------------------------------------------


@functools.cache
def struct_of(shape: f.Schema, *, tolerant: bool = False) -> type[msgspec.Struct]:
    """Make the msgspec type of a shape; the tolerant one takes null everywhere."""
    members = [
        (name, *_member(field, tolerant=tolerant)) for name, field in f.declared(shape).items()
    ]
    name = f"{shape.__name__}{'Tolerant' if tolerant else ''}"
    return msgspec.defstruct(name, members, omit_defaults=True)


def _member(field: Any, *, tolerant: bool) -> tuple[Any, Any]:
    """Return the msgspec type and default of a field.

    msgspec leaves out a value that equals a plain default, or an empty list or dict whose factory
    is ``list`` or ``dict`` itself; any other factory is always written. That alone makes the zero
    values of ``*`` fields and the omission of all others.
    """
    kind, empty = _kind_and_empty(field, tolerant=tolerant)
    default = msgspec.field(default_factory=_factory(empty, always=field.always))
    if not field.always and not isinstance(empty, list | dict):
        default = msgspec.field(default=empty)
    return (kind | None if tolerant else kind), default


def _factory(empty: Any, *, always: bool) -> Callable[[], Any]:
    if callable(empty):
        return empty  # type: ignore[no-any-return]
    if isinstance(empty, list | dict):
        kind = type(empty)
        return functools.partial(kind) if always else kind
    return lambda: empty


# Types of fields that are the same in the strict and in the tolerant type of a shape.
_LEAVES: Final[tuple[tuple[type[ma.Field[Any]], Any, Any], ...]] = (
    (f.Bag, dict[str, msgspec.Raw], {}),
    (f.Number, int | float, 0),
    (f.WholeNumber, int, 0),
    (f.Text, str, ""),
)


def _kind_and_empty(field: Any, *, tolerant: bool) -> tuple[Any, Any]:
    """Return the msgspec type of a field and its empty value (or a factory of it)."""
    match field:
        case f.Time():
            return str, ("" if field.optional else f.ZERO_TIME)
        case f.TextMap():
            return dict[str, msgspec.Raw if tolerant else str], {}  # type: ignore[misc]
        case f.Many():
            nested = struct_of(field.nested_shape, tolerant=tolerant)
            return list[nested], []  # type: ignore[valid-type]
        case f.Texts():
            return list[str | None] if tolerant else list[str], []
        case f.One():
            nested = struct_of(field.nested_shape, tolerant=tolerant)
            return (nested, nested) if field.always else (nested | None, None)
    for leaf, kind, empty in _LEAVES:
        if isinstance(field, leaf):
            return kind, empty
    raise TypeError(f"a result cannot hold {type(field).__name__}")


# --- one codec a shape ------------------------------------------------------------------------


@functools.cache
def codec_of(shape: f.Schema, *, many: bool) -> "Codec":
    """Return the codec of a shape, or of a list of it."""
    return Codec(shape, many=many)


class Codec:
    """Turns the raw result of a plugin into the contract's bytes."""

    def __init__(self, shape: f.Schema, *, many: bool) -> None:
        self._shape = shape
        self._many = many
        self._times = tuple(_time_paths(shape))
        self._strict = _decoder(shape, many=many, tolerant=False)
        self._tolerant = _decoder(shape, many=many, tolerant=True)

    def convert(self, raw: bytes | msgspec.Raw) -> bytes:
        """Decode, check and encode as one line; see the module.

        Raises:
            ProviderError: The result does not fit, even when mended.
        """
        if _is_null(memoryview(raw)):
            if self._many:
                return b"[]\n"
            raise ProviderError("The plugin answered null where an object belongs.")
        try:
            return self._fitted(raw)
        except RecursionError as exc:
            raise ProviderError("The plugin's result is nested too deeply.") from exc
        except UnicodeDecodeError as exc:
            raise ProviderError("The plugin's result is not UTF-8.") from exc
        except msgspec.DecodeError as exc:
            raise ProviderError("The plugin's result is not valid JSON.") from exc

    def _fitted(self, raw: bytes | msgspec.Raw) -> bytes:
        try:
            return self._encoded(raw)
        except (msgspec.ValidationError, _Unfit) as misfit:
            return self._mended(raw, misfit)

    def _encoded(self, raw: bytes | msgspec.Raw) -> bytes:
        decoded = self._strict.decode(raw)
        items = decoded if self._many else (decoded,)
        for path in self._times:
            if not all(map(_is_utc_time, _values(items, path))):
                raise _Unfit("a time is not in UTC")
        if items and _lacks_all(items[0], self._shape) and self._folds(raw):
            return self._encoded(_fold_keys(raw, self._shape, many=self._many))
        return _line(decoded)

    def _folds(self, raw: bytes | msgspec.Raw) -> bool:
        """Tell whether the first item has its keys, only in another letter case."""
        first = _first_keys(raw, many=self._many)
        wanted = {name for name, field in f.declared(self._shape).items() if field.always}
        return not first & wanted and bool(
            {key.casefold() for key in first} & {name.casefold() for name in wanted}
        )

    def _mended(self, raw: bytes | msgspec.Raw, misfit: Exception) -> bytes:
        try:
            if self._folds(raw):
                raw = _fold_keys(raw, self._shape, many=self._many)
            decoded = self._tolerant.decode(raw)
            for item in decoded if self._many else (decoded,):
                _mend(item, self._shape)
            return _line(decoded)
        except (msgspec.ValidationError, msgspec.DecodeError, _Unfit, ValueError) as exc:
            where = exc if isinstance(exc, msgspec.ValidationError | _Unfit) else misfit
            raise ProviderError(
                f"The plugin's result does not fit {self._shape.__name__}: {where}."
            ) from exc


def _line(decoded: Any) -> bytes:
    """Encode with the newline behind it: to add it afterwards would copy a large result."""
    return _encoder.encode_lines((decoded,))


def _decoder(shape: f.Schema, *, many: bool, tolerant: bool) -> msgspec.json.Decoder[Any]:
    struct = struct_of(shape, tolerant=tolerant)
    return msgspec.json.Decoder(list[struct] if many else struct)  # type: ignore[valid-type]


class _Unfit(ValueError):
    """A value that the types let through does not fit."""


# --- times ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _TimePath:
    """Where a time stands: the lists and objects to go through, and its name."""

    lists: tuple[Callable[[Any], Any], ...]
    get: Callable[[Any], Any]
    optional: bool


def _time_paths(
    shape: f.Schema, before: tuple[Callable[[Any], Any], ...] = ()
) -> Iterator[_TimePath]:
    """Find every time of a shape, also inside its lists of objects."""
    for name, field in f.declared(shape).items():
        if isinstance(field, f.Time):
            yield _TimePath(before, attrgetter(name), field.optional)
        elif isinstance(field, f.Many):
            yield from _time_paths(field.nested_shape, (*before, attrgetter(name)))
        elif isinstance(field, f.One) and any(_time_paths(field.nested_shape)):
            raise TypeError(f"{name}: times inside single objects are not looked at")


def _values(items: Iterable[Any], path: _TimePath) -> Iterable[str]:
    """Iterate over the times of a path in C: no Python code runs per item."""
    for get in path.lists:
        items = chain.from_iterable(map(get, items))
    values = map(path.get, items)
    return filter(None, values) if path.optional else values


def normal_time(value: str) -> str:
    """Convert an RFC 3339 time to UTC with ``Z``, every digit of the fraction kept; "" is zero.

    Raises:
        ValueError: It is no such time, or leaves the years 1 to 9999.
    """
    if value == "":
        return f.ZERO_TIME
    match = _zoned(value)
    if match is None:
        raise _Unfit("a time is not RFC 3339")
    seconds, fraction, zone = match.groups()
    try:
        moment = datetime.datetime.fromisoformat(seconds + zone.replace("Z", "+00:00"))
        utc = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as exc:
        raise _Unfit("a time is not RFC 3339") from exc
    return f"{utc.isoformat()}{fraction or ''}Z"


# --- mending ----------------------------------------------------------------------------------


def _mend(item: Any, shape: f.Schema) -> None:
    """Give nulls their empty value, convert times, and turn plain values in text maps to text."""
    for name, field in f.declared(shape).items():
        value = getattr(item, name)
        if value is None:
            value = _empty_of(field)
        match field:
            case f.Time() if value or not field.optional:
                value = normal_time(value)
            case f.TextMap():
                value = {key: _as_text(raw, name) for key, raw in value.items()}
            case f.Texts():
                value = [text or "" for text in value]
            case f.Many():
                for nested in value:
                    _mend(nested, field.nested_shape)
            case f.One() if value is not None:
                _mend(value, field.nested_shape)
        setattr(item, name, value)


def _empty_of(field: Any) -> Any:
    _, empty = _kind_and_empty(field, tolerant=True)
    return empty() if isinstance(empty, type) else type(empty)(empty) if empty is not None else None


def _as_text(raw: msgspec.Raw, name: str) -> str:
    """Read a value of a text map: text, or a number or boolean as it was written."""
    written = bytes(raw)
    if written[:1] == b'"':
        return msgspec.json.decode(written, type=str)
    if written[:1] in b"[{":
        raise _Unfit(f"a value of {name} is no text")
    return "" if written == b"null" else written.decode()


# --- letter case ------------------------------------------------------------------------------


def _lacks_all(item: Any, shape: f.Schema) -> bool:
    """Tell whether every always-present field of the item has its empty value."""
    wanted = [name for name, field in f.declared(shape).items() if field.always]
    blank = type(item)()
    return bool(wanted) and all(getattr(item, name) == getattr(blank, name) for name in wanted)


def _first_keys(raw: bytes | msgspec.Raw, *, many: bool) -> set[str]:
    try:
        if many:
            items = msgspec.json.decode(raw, type=list[dict[str, msgspec.Raw]])
            return set(items[0]) if items else set()
        return set(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]))
    except msgspec.DecodeError:
        return set()


def _fold_keys(raw: bytes | msgspec.Raw, shape: f.Schema, *, many: bool) -> bytes:
    """Write a result anew with the keys of its shapes in their proper letter case."""
    if bytes(raw).strip() == b"null":
        return b"null"
    if many:
        items = msgspec.json.decode(raw, type=list[msgspec.Raw])
        return b"[%s]" % b",".join(_fold_keys(item, shape, many=False) for item in items)
    declared = f.declared(shape)
    folded = {name.casefold(): name for name in declared}
    members: dict[str, Any] = {}
    for key, value in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items():
        name = key if key in declared else folded.get(key.casefold(), key)
        field = declared.get(name)
        if isinstance(field, f.Many):
            value = msgspec.Raw(_fold_keys(value, field.nested_shape, many=True))
        elif isinstance(field, f.One):
            value = msgspec.Raw(_fold_keys(value, field.nested_shape, many=False))
        members[name] = value
    return _encoder.encode(members)

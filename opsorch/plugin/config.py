"""Declare a plugin's configuration as a table; parse it with every fault in one message.

A declaration yields the parsed settings, the fault messages, and the JSON Schema that
``plugin.describe`` answers. Faults name fields, never values.
"""

import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opsorch.errors import InvalidConfig
from opsorch.observability.redact import Secret

JsonObject = dict[str, Any]


class Unfit(ValueError):
    """A value does not fit; the text completes the sentence ``field <name> ...``."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What values a field takes: a parser that raises Unfit, and the JSON Schema of it."""

    parse: Callable[[Any], Any]
    schema: Mapping[str, Any]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit("must be a string")
    return value.strip()


def text(pattern: str | None = None, fault: str = "has the wrong form") -> Kind:
    """Take a string, trimmed; where a pattern is given, all of it must match."""
    compiled = re.compile(pattern) if pattern else None

    def parse(value: Any) -> str:
        stripped = _text(value)
        if compiled and not compiled.fullmatch(stripped):
            raise Unfit(fault)
        return stripped

    schema: JsonObject = {"type": "string"}
    if pattern:
        schema["pattern"] = f"^(?:{pattern})$"
    return Kind(parse, schema)


def visible_ascii() -> Kind:
    """Take one word of what a header can carry; the error of sending more would show the value."""
    return text(r"[\x21-\x7e]+", "must be visible ASCII without blanks")


def url(*, userinfo: bool = False) -> Kind:
    """Take an absolute http(s) URL without query and fragment; a trailing slash is stripped.

    Args:
        userinfo: ``user:password@`` is allowed in it.
    """

    def parse(value: Any) -> str:
        stripped = _text(value)
        try:
            parts = urllib.parse.urlsplit(stripped)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            fits = False
        if not fits or re.search(r"[\s\x00-\x1f\\]", stripped):
            raise Unfit("must be an absolute http(s) URL")
        if "?" in stripped or "#" in stripped:
            raise Unfit("must be an absolute http(s) URL without query or fragment")
        if "@" in parts.netloc and not userinfo:
            raise Unfit("must be an absolute http(s) URL without user and password")
        return stripped.rstrip("/")

    return Kind(parse, {"type": "string", "format": "uri"})


def email() -> Kind:
    """Take a string with one ``@``, text on both sides, and no blank in it."""
    return text(r"[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+", "is not a valid email address")


def boolean() -> Kind:
    """Take true or false."""

    def parse(value: Any) -> bool:
        if not isinstance(value, bool):
            raise Unfit("must be true or false")
        return value

    return Kind(parse, {"type": "boolean"})


def number(low: float, high: float, *, above: bool = False) -> Kind:
    """Take a number from ``low`` to ``high``; with ``above``, ``low`` itself does not fit."""
    bound = f"{low:g} and {high:g}"

    def parse(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Unfit(f"must be a number between {bound}")
        if not low <= value <= high or (above and value == low):
            raise Unfit(f"must be a number between {bound}")
        return value

    lowest = "exclusiveMinimum" if above else "minimum"
    return Kind(parse, {"type": "number", lowest: low, "maximum": high})


def integer(low: int, high: int) -> Kind:
    """Take a whole number from ``low`` to ``high``."""

    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Unfit(f"must be a whole number between {low} and {high}")
        return value

    return Kind(parse, {"type": "integer", "minimum": low, "maximum": high})


def choice(*words: str) -> Kind:
    """Take one of the words, in any letter case."""
    listed = ", ".join(words[:-1]) + f" or {words[-1]}" if len(words) == 2 else ", ".join(words)
    fault = f"must be {listed}" if len(words) == 2 else f"must be one of: {listed}"
    by_folded = {word.casefold(): word for word in words}

    def parse(value: Any) -> str:
        word = by_folded.get(value.strip().casefold()) if isinstance(value, str) else None
        if word is None:
            raise Unfit(fault)
        return word

    return Kind(parse, {"type": "string", "enum": list(words)})


def string_list(item: Kind | None = None) -> Kind:
    """Take a list of strings; each is parsed by ``item`` where one is given."""

    def parse(value: Any) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise Unfit("must be a list of strings")
        return [(item.parse(entry) if item else entry.strip()) for entry in value]

    items = dict(item.schema) if item else {"type": "string"}
    return Kind(parse, {"type": "array", "items": items})


def string_map(keys: Sequence[str] | None = None, value_kind: Kind | None = None) -> Kind:
    """Take an object of strings, with the named keys only where ``keys`` is given."""

    def parse(value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise Unfit("must be an object of strings")
        if keys is not None and set(value) - set(keys):
            raise Unfit(f"may only have the keys {', '.join(keys)}")
        parsed = {}
        for key, entry in value.items():
            try:
                parsed[key] = value_kind.parse(entry) if value_kind else entry
            except Unfit as unfit:
                raise Unfit(f".{key} {unfit}") from unfit
        return parsed

    inner = dict(value_kind.schema) if value_kind else {"type": "string"}
    schema: JsonObject = {"type": "object", "additionalProperties": inner}
    if keys is not None:
        schema = {
            "type": "object",
            "properties": dict.fromkeys(keys, inner),
            "additionalProperties": False,
        }
    return Kind(parse, schema)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a plugin's configuration.

    Attributes:
        name: Name as documented; where several names are given, it wins over the aliases.
        kind: What values it takes.
        required: Absent or blank is a fault.
        default: Value where the field is absent. Not parsed.
        aliases: Other names under which it is accepted.
        secret: Its value is kept as a Secret and never shown.
        help: One sentence for the README table and the JSON Schema.
    """

    name: str
    kind: Kind = field(default_factory=text)
    required: bool = False
    default: Any = None
    aliases: tuple[str, ...] = ()
    secret: bool = False
    help: str = ""

    def given(self, config: Mapping[str, Any]) -> Any:
        """Return the first given value among the names; blank strings and null are absent."""
        for name in (self.name, *self.aliases):
            value = config.get(name)
            if value is not None and not (isinstance(value, str) and not value.strip()):
                return value
        return None


TIMEOUT: Final = Field(
    "timeoutSeconds",
    number(0, 300, above=True),
    default=30,
    aliases=("timeout",),
    help="Budget of one call in seconds: look-ups, pages and waits included.",
)

LOOKBACK: Final = Field(
    "defaultLookbackSeconds",
    integer(1, 366 * 24 * 3600),
    default=3600,
    help="Length of a query that names no start.",
)

Rule = Callable[[Mapping[str, Any]], str | None]


@dataclass(frozen=True, slots=True)
class ConfigSpec:
    """The fields of one provider's configuration and the rules between them.

    Attributes:
        vendor: First word of every fault message, for example ``jira``.
        fields: The table of fields; its order is that of the messages.
        rules: Functions of the parsed settings that return a fault (a sentence without the
            vendor) or None. They run only when every field by itself fits.
    """

    vendor: str
    fields: tuple[Field, ...]
    rules: tuple[Rule, ...] = ()

    def parse(self, config: Mapping[str, Any]) -> JsonObject:
        """Return the settings by documented name, secrets wrapped; list every fault at once.

        Raises:
            InvalidConfig: Something is missing or does not fit; names fields, never values.
        """
        settings: JsonObject = {}
        missing: list[str] = []
        faults: list[str] = []
        for declared in self.fields:
            value = declared.given(config)
            if value is None:
                settings[declared.name] = declared.default
                if declared.required:
                    missing.append(declared.name)
                continue
            try:
                parsed = declared.kind.parse(value)
            except Unfit as unfit:
                joint = "" if str(unfit).startswith((".", "[")) else " "
                faults.append(f"field {declared.name}{joint}{unfit}")
                continue
            wrap = declared.secret and isinstance(parsed, str)
            settings[declared.name] = Secret(parsed) if wrap else parsed
        if missing:
            faults.insert(0, f"missing required field(s): {', '.join(missing)}")
        if not faults:
            faults = [fault for rule in self.rules if (fault := rule(settings))]
        if faults:
            raise InvalidConfig(f"{self.vendor} config: {'; '.join(faults)}")
        return settings

    def unknown(self, config: Mapping[str, Any]) -> list[str]:
        """Name the given fields that no declaration knows, sorted."""
        known = {name for declared in self.fields for name in (declared.name, *declared.aliases)}
        return sorted(set(config) - known)

    def json_schema(self) -> JsonObject:
        """Describe the configuration as JSON Schema (draft 2020-12)."""
        properties: JsonObject = {}
        for declared in self.fields:
            entry = dict(declared.kind.schema)
            if declared.help:
                entry["description"] = declared.help
            if declared.default is not None:
                entry["default"] = declared.default
            if declared.secret:
                entry["writeOnly"] = True
            if declared.aliases:
                entry["x-aliases"] = list(declared.aliases)
            properties[declared.name] = entry
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": [declared.name for declared in self.fields if declared.required],
        }

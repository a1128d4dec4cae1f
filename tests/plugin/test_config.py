"""Configuration: what each kind takes, all faults at once, never a value, and the JSON Schema."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsorch.errors import InvalidConfig
from opsorch.observability.redact import Secret
from opsorch.plugin.config import (
    TIMEOUT,
    ConfigSpec,
    Field,
    Kind,
    Unfit,
    boolean,
    choice,
    email,
    integer,
    number,
    string_list,
    string_map,
    text,
    url,
    visible_ascii,
)

HUGE = "x" * 500


def parsed(kind: Kind, value: Any) -> Any:
    return ConfigSpec("acme", (Field("f", kind),)).parse({"f": value})["f"]


def fault(kind: Kind, value: Any) -> str:
    with pytest.raises(InvalidConfig) as raised:
        parsed(kind, value)
    return raised.value.message.removeprefix("acme config: ")


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (text(), " a ", "a"),
        (text(r"[a-z]+"), " abc ", "abc"),
        (url(), "https://host:8080/path/", "https://host:8080/path"),
        (url(), "http://[::1]:80", "http://[::1]:80"),
        (url(userinfo=True), "http://u:p@host", "http://u:p@host"),
        (email(), "a@b.c", "a@b.c"),
        (boolean(), False, False),
        (number(0, 5), 0, 0),
        (number(0, 5, above=True), 0.1, 0.1),
        (integer(1, 5), 5, 5),
        (choice("GET", "POST"), " post ", "POST"),
        (string_list(), [" a ", "b"], ["a", "b"]),
        (string_list(choice("a", "b", "c")), ["A"], ["a"]),
        (string_map(), {"a": " b "}, {"a": " b "}),
        (string_map(("a", "b")), {"a": "x"}, {"a": "x"}),
        (string_map(("a",), text(r"[a-z]+")), {"a": " x "}, {"a": "x"}),
    ],
)
def test_values_that_fit(kind: Kind, value: Any, found: Any) -> None:
    """They are brought into one form."""
    assert parsed(kind, value) == found


NO_URL = "field f must be an absolute http(s) URL"


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (text(), 1, "field f must be a string"),
        (text(r"[a-z]+"), "ABC", "field f has the wrong form"),
        (text(r"[a-z]+", "must be small"), "ab\nc", "field f must be small"),
        (url(), 5, "field f must be a string"),
        (url(), "host", NO_URL),
        (url(), "ftp://host", NO_URL),
        (url(), "http://", NO_URL),
        (url(), "http://host:port", NO_URL),
        (url(), "http://host:99999", NO_URL),
        (url(), "http://[::1", NO_URL),
        (url(), "http://ho st", NO_URL),
        (url(), "http://host\\x", NO_URL),
        (url(), "http://host?q=1", f"{NO_URL} without query or fragment"),
        (url(), "http://host#f", f"{NO_URL} without query or fragment"),
        (url(), "http://u:p@host", f"{NO_URL} without user and password"),
        (email(), "a.b.c", "field f is not a valid email address"),
        (email(), "a b@c", "field f is not a valid email address"),
        (boolean(), "true", "field f must be true or false"),
        (boolean(), 1, "field f must be true or false"),
        (number(0, 5), "1", "field f must be a number between 0 and 5"),
        (number(0, 5), True, "field f must be a number between 0 and 5"),
        (number(0, 5), 5.1, "field f must be a number between 0 and 5"),
        (number(0, 5), float("nan"), "field f must be a number between 0 and 5"),
        (number(0, 5, above=True), 0, "field f must be a number between 0 and 5"),
        (integer(1, 5), 1.0, "field f must be a whole number between 1 and 5"),
        (integer(1, 5), True, "field f must be a whole number between 1 and 5"),
        (integer(1, 5), 6, "field f must be a whole number between 1 and 5"),
        (choice("GET", "POST"), "PUT", "field f must be GET or POST"),
        (choice("a", "b", "c"), 1, "field f must be one of: a, b, c"),
        (string_list(), "a", "field f must be a list of strings"),
        (string_list(), ["a", 1], "field f must be a list of strings"),
        (string_list(choice("a", "b")), ["c"], "field f must be a or b"),
        (string_map(), [], "field f must be an object of strings"),
        (string_map(), {"a": 1}, "field f must be an object of strings"),
        (string_map(("a", "b")), {"c": "x"}, "field f may only have the keys a, b"),
        (string_map(("a",), text(r"[a-z]+")), {"a": "1"}, "field f.a has the wrong form"),
    ],
)
def test_values_that_do_not_fit(kind: Kind, value: Any, words: str) -> None:
    """The field is named, and what would fit."""
    assert fault(kind, value) == words


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KINDS = (
    text(r"[a-z]{4}"),
    url(),
    email(),
    boolean(),
    number(0, 1),
    integer(0, 1),
    choice("one", "other"),
    string_list(choice("one", "other")),
    string_map(("one",)),
)


@given(st.sampled_from(KINDS), ANY_JSON)
def test_any_value_fits_or_is_a_fault(kind: Kind, value: Any) -> None:
    """Nothing else is raised, whatever stands in the file."""
    try:
        parsed(kind, value)
    except InvalidConfig as invalid:
        assert invalid.message.startswith("acme config: field f")  # noqa: PT017  either is right


SPEC = ConfigSpec(
    "acme",
    (
        Field("url", url(), required=True, aliases=("baseURL", "address")),
        Field("token", required=True, secret=True, help="An API token."),
        Field("method", choice("GET", "POST"), default="GET"),
        Field("headers", string_map(), secret=True),
        TIMEOUT,
    ),
    rules=(
        lambda s: "slow POST" if s["method"] == "POST" and s["timeoutSeconds"] > 100 else None,
        lambda s: "no POST" if s["method"] == "POST" else None,
    ),
)
GOOD = {"url": "https://host", "token": "secret-token"}


def invalid(config: dict[str, Any]) -> str:
    with pytest.raises(InvalidConfig) as raised:
        SPEC.parse(config)
    return raised.value.message


def test_settings_have_documented_names_defaults_and_wrapped_secrets() -> None:
    """An alias is another way in, the name the only way out."""
    settings = SPEC.parse({"address": "https://host/", "token": " t-value ", "timeout": 5})
    assert settings == {
        "url": "https://host",
        "token": Secret("t-value"),
        "method": "GET",
        "headers": None,
        "timeoutSeconds": 5,
    }
    assert "t-value" not in repr(settings)


def test_the_name_wins_over_aliases_and_blank_is_absent() -> None:
    """In the order of the declaration."""
    config = {**GOOD, "address": "https://c", "baseURL": "https://b", "url": " "}
    assert SPEC.parse(config)["url"] == "https://b"
    assert SPEC.parse({**config, "url": "https://a"})["url"] == "https://a"


def test_all_faults_come_at_once_and_name_no_value() -> None:
    """What is missing first, then field by field."""
    message = invalid({"url": HUGE, "method": HUGE, "timeoutSeconds": 0, "token": None})
    assert message == (
        "acme config: missing required field(s): token;"
        " field url must be an absolute http(s) URL;"
        " field method must be GET or POST;"
        " field timeoutSeconds must be a number between 0 and 300"
    )
    assert HUGE not in message


def test_rules_speak_once_the_fields_fit() -> None:
    """All of them."""
    assert "POST" not in invalid({"method": "POST"})
    message = invalid({**GOOD, "method": "post", "timeout": 200})
    assert message == "acme config: slow POST; no POST"


def test_unknown_fields_are_named() -> None:
    """Aliases are known."""
    assert SPEC.unknown({**GOOD, "timeout": 1, "zeta": 1, "beta": 2}) == ["beta", "zeta"]


def test_the_schema_of_a_configuration() -> None:
    """It is JSON, and says what the table says."""
    schema = SPEC.json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["required"] == ["url", "token"]
    fields = schema["properties"]
    assert fields["token"] == {"type": "string", "description": "An API token.", "writeOnly": True}
    assert fields["url"] == {
        "type": "string",
        "format": "uri",
        "x-aliases": ["baseURL", "address"],
    }
    assert fields["method"] == {"type": "string", "enum": ["GET", "POST"], "default": "GET"}
    assert fields["timeoutSeconds"]["exclusiveMinimum"] == 0


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (text("a|b"), {"type": "string", "pattern": "^(?:a|b)$"}),
        (boolean(), {"type": "boolean"}),
        (number(1, 2), {"type": "number", "minimum": 1, "maximum": 2}),
        (integer(1, 2), {"type": "integer", "minimum": 1, "maximum": 2}),
        (string_list(), {"type": "array", "items": {"type": "string"}}),
        (string_list(boolean()), {"type": "array", "items": {"type": "boolean"}}),
        (string_map(), {"type": "object", "additionalProperties": {"type": "string"}}),
        (
            string_map(value_kind=choice("a", "b")),
            {"type": "object", "additionalProperties": {"type": "string", "enum": ["a", "b"]}},
        ),
        (
            string_map(("k",)),
            {
                "type": "object",
                "properties": {"k": {"type": "string"}},
                "additionalProperties": False,
            },
        ),
    ],
)
def test_the_schemas_of_kinds(kind: Kind, schema: Any) -> None:
    """Each kind describes itself."""
    assert kind.schema == schema


@pytest.mark.parametrize("value", ["odd value", "odd\nvalue", "k\u00e9y", ""])
def test_what_no_header_carries_is_refused_without_its_value(value: str) -> None:
    """Sending it would fail with an error that shows it."""
    with pytest.raises(Unfit, match=r"^must be visible ASCII without blanks$"):
        visible_ascii().parse(value)


def test_visible_ascii_is_trimmed() -> None:
    """People paste line ends."""
    assert visible_ascii().parse(" t0ken~!\n") == "t0ken~!"

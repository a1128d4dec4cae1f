"""The checks of payloads: each field's kind, and the wording of each refusal."""

from collections.abc import Callable
from typing import Any

import pytest

from opsorch.errors import BadRequest
from opsorch.plugin import payload as sdk


def refused(ask: Callable[[], Any]) -> str:
    with pytest.raises(BadRequest) as raised:
        ask()
    return raised.value.message


@pytest.mark.parametrize(
    ("read", "good", "empty", "bad", "words"),
    [
        (sdk.text_of, "a", "", [1, [], True], "x must be a string"),
        (sdk.strings_of, ["a"], [], ["a", [1], {"a": "b"}], "x must be a list of strings"),
        (sdk.object_of, {"a": 1}, {}, [[], "a", 0], "x must be an object"),
        (sdk.objects_of, [{"a": 1}], [], [{}, ["a"], "a"], "x must be a list of objects"),
    ],
)
def test_fields_have_kinds(
    read: Callable[..., Any], good: Any, empty: Any, bad: list[Any], words: str
) -> None:
    """Absent and null are empty; another kind is refused by name."""
    assert read({"x": good}, "x") == good
    assert read({}, "x") == read({"x": None}, "x") == empty
    for value in bad:
        assert refused(lambda value=value: read({"x": value}, "x")) == words
        assert refused(lambda value=value: read({"x": value}, "x", where="in.")) == f"in.{words}"


def test_required_text_is_trimmed_and_not_blank() -> None:
    """Blank, absent and null are the same fault."""
    assert sdk.required_text({"title": " a "}, "title") == "a"
    for value in ("", "  ", None):
        assert refused(lambda value=value: sdk.required_text({"title": value}, "title")) == (
            "title is required"
        )
    assert refused(lambda: sdk.required_text({}, "title", where="entry.")) == (
        "entry.title is required"
    )


def test_scope_has_three_parts() -> None:
    """Blank parts are left out, others ignored, wrong kinds refused by name."""
    scope = {"service": " api ", "team": " ", "environment": None, "other": 1}
    assert sdk.scope_of({"scope": scope}) == {"service": "api"}
    assert sdk.scope_of({}) == {}
    assert refused(lambda: sdk.scope_of({"scope": {"team": 1}})) == "scope.team must be a string"
    assert refused(lambda: sdk.scope_of({"scope": []})) == "scope must be an object"


@pytest.mark.parametrize(
    ("limit", "found"), [(None, 50), (0, 50), (1, 1), (200, 200), (201, 200), (10**30, 200)]
)
def test_limits(limit: Any, found: int) -> None:
    """0 and absent are the default; more than the most is the most."""
    assert sdk.limit_of({"limit": limit}, default=50, most=200) == found


@pytest.mark.parametrize("limit", [-1, 1.0, "1", True, []])
def test_limits_that_are_none(limit: Any) -> None:
    """They are refused, not guessed at."""
    words = refused(lambda: sdk.limit_of({"limit": limit}, default=1, most=2))
    assert words == "limit must be a whole number of 0 or more"


def test_ids_by_several_names() -> None:
    """The first given wins; the first name is the one asked for."""
    assert sdk.id_of({"id": " a "}) == "a"
    assert sdk.id_of({"teamID": "", "id": "b"}, "teamID", "id") == "b"
    assert refused(lambda: sdk.id_of({"id": " "})) == "id is required"
    assert refused(lambda: sdk.id_of({}, "teamID", "id")) == "teamID is required"
    assert refused(lambda: sdk.id_of({"id": 7})) == "id must be a string"


def test_input_under_several_names() -> None:
    """Gateways differ in the key of an entry."""
    assert sdk.input_of({"input": {"a": 1}}) == {"a": 1}
    assert sdk.input_of({"entry": None, "input": {"a": 1}}, "entry", "input") == {"a": 1}
    assert sdk.input_of({}, "entry") == {}
    assert refused(lambda: sdk.input_of({"entry": "a"}, "entry")) == "entry must be an object"


WORDS = {"open": 1, "closed": 2, "shut": 2}


def test_words_are_translated_by_a_table() -> None:
    """In any letter case, each result once; unknown ones are refused with the accepted ones."""
    assert sdk.word_of(WORDS, " Open ", "status") == 1
    assert sdk.words_of(WORDS, ["shut", "open", "CLOSED"], "statuses") == [2, 1]
    assert sdk.words_of(WORDS, [], "statuses") == []
    words = refused(lambda: sdk.words_of(WORDS, ["open", "a\n" + "b" * 100], "statuses"))
    assert words.startswith("statuses: 'a\\nbbb")
    assert words.endswith("is unknown; use one of closed, open, shut")
    assert len(words) < 130


def test_all_words_must_occur() -> None:
    """Somewhere in the texts, case folded."""
    texts = ["Disk is FULL", None, 42]
    assert sdk.all_words_in("full 42", texts)
    assert sdk.all_words_in("", texts)
    assert not sdk.all_words_in("full none", texts)


def test_empty_values_are_left_out() -> None:
    """But 0 and false say something."""
    shape = {"a": None, "b": "", "c": [], "d": {}, "e": 0, "f": False, "g": "x"}
    assert sdk.without_empty(shape) == {"e": 0, "f": False, "g": "x"}

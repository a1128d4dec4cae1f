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


def test_a_string_is_a_list_of_one() -> None:
    """Or a list is one already; other kinds are refused."""
    assert sdk.one_or_more_of({"x": "a, b"}, "x") == ["a, b"]
    assert sdk.one_or_more_of({"x": ["a", "b"]}, "x") == ["a", "b"]
    assert sdk.one_or_more_of({}, "x") == sdk.one_or_more_of({"x": None}, "x") == []
    for value in (1, [1], {}):
        words = refused(lambda value=value: sdk.one_or_more_of({"x": value}, "x", where="in."))
        assert words == "in.x must be a list of strings"


def test_an_object_may_hold_strings_alone() -> None:
    """Absent and null are empty."""
    assert sdk.string_map_of({"tags": {"a": "b"}}, "tags") == {"a": "b"}
    assert sdk.string_map_of({}, "tags") == sdk.string_map_of({"tags": None}, "tags") == {}
    assert refused(lambda: sdk.string_map_of({"tags": {"a": 1}}, "tags")) == (
        "tags must be an object of strings"
    )
    assert refused(lambda: sdk.string_map_of({"tags": []}, "tags")) == "tags must be an object"


def test_flags_are_true_or_false() -> None:
    """Or not given, which may mean either."""
    assert sdk.flag_of({"x": True}, "x") is True
    assert sdk.flag_of({"x": False}, "x") is False
    assert sdk.flag_of({}, "x") is sdk.flag_of({"x": None}, "x") is None
    for value in (0, 1, "true", []):
        words = refused(lambda value=value: sdk.flag_of({"x": value}, "x", where="metadata."))
        assert words == "metadata.x must be true or false"


def test_whole_numbers_have_a_least() -> None:
    """True is no number, nor is a text or a fraction."""
    assert sdk.whole_of({"x": 0}, "x") == 0
    assert sdk.whole_of({"x": 10**30}, "x", least=1) == 10**30
    assert sdk.whole_of({}, "x") is sdk.whole_of({"x": None}, "x") is None
    for value in (0, -1, True, 1.0, "1"):
        words = refused(lambda value=value: sdk.whole_of({"x": value}, "x", least=1, where="in."))
        assert words == "in.x must be a whole number of 1 or more"


def test_a_step_is_a_number_of_seconds() -> None:
    """0 where it is not given."""
    assert sdk.step_of({"step": 60}) == 60
    assert sdk.step_of({}) == sdk.step_of({"step": None}) == sdk.step_of({"step": 0}) == 0
    for value in (-1, True, 1.5, "60"):
        assert refused(lambda value=value: sdk.step_of({"step": value})) == (
            "step must be a whole number of seconds, 0 or more"
        )


def test_filters_know_their_place() -> None:
    """For the messages of what does not fit in them."""
    given = [{"field": "a"}, {"field": "b"}]
    places = ["expression.filters[0]", "expression.filters[1]"]
    assert sdk.filters_of({"filters": given}) == list(zip(given, places, strict=True))
    assert sdk.filters_of({}) == []
    assert refused(lambda: sdk.filters_of({"filters": ["a"]})) == (
        "expression.filters must be a list of objects"
    )


def test_a_timeline_entry_has_a_body_and_perhaps_an_author() -> None:
    """The body stays as it is; the name is fit for one line."""
    entry = {"body": " We look\n", "actor": {"name": "Ann\nLee"}}
    assert sdk.body_and_author(entry) == (" We look\n", "Ann Lee")
    assert sdk.body_and_author({"body": "x"}) == ("x", "")
    for body in (None, "", " \n"):
        words = refused(lambda body=body: sdk.body_and_author({"body": body}))
        assert words == "body is required"
    assert refused(lambda: sdk.body_and_author({"body": "x", "actor": {"name": 1}})) == (
        "actor.name must be a string"
    )


def test_an_unknown_word_is_told_with_the_known_ones() -> None:
    """Sorted, and the word itself cut."""
    error = sdk.unknown_word({"b": 1, "a": 2}, f" {'x' * 70} ", "status")
    assert error.message == f"status: {'x' * 60!r} is unknown; use one of a, b"

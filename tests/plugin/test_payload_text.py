"""Texts of payloads that could not be sent on."""

import pytest

from opsorch.errors import BadRequest
from opsorch.plugin.payload import scope_of, strings_of, text_of


@pytest.mark.parametrize("value", ["", "plain", "jörg", "\U0001f600", "\ud7ff\ue000"])
def test_text_of_any_script_is_taken(value: str) -> None:
    """As it is."""
    assert text_of({"name": value}, "name") == value


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", "\ude00\ud83d"])
def test_half_of_a_surrogate_pair_is_refused_by_name(value: str) -> None:
    """JSON can hold it, UTF-8 cannot, and so neither can a URL."""
    with pytest.raises(BadRequest, match=r"scope\.team holds half of a surrogate pair"):
        scope_of({"scope": {"team": value}})


def test_halves_are_refused_in_lists_too() -> None:
    """A list of texts goes the same ways as a text."""
    with pytest.raises(BadRequest, match="statuses holds half of a surrogate pair"):
        strings_of({"statuses": ["open", "a\ud800"]}, "statuses")
    assert strings_of({"statuses": ["offen", "geschlossen \U0001f600"]}, "statuses")

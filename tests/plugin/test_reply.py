"""What is read of a reply, and what errors say of it."""

from typing import Any

import pytest

from opsorch.errors import ProviderError, UpstreamTimeout
from opsorch.observability.redact import Redactor
from opsorch.plugin.outcome import MAYBE, joined, telling
from opsorch.plugin.reply import (
    Reply,
    answered,
    decoded,
    decoded_object,
    decoded_objects,
    retry_after,
    seconds_of,
)


def reply_of(body: str, **headers: str) -> Reply:
    return Reply(200, headers, body.encode(), "https://acme.example/")


def unexpected(why: str) -> ProviderError:
    return ProviderError(f"Acme is odd: {why}")


def test_a_body_of_another_form_is_told_in_the_vendors_words() -> None:
    """Of what kind it is not, or why it cannot be decoded."""
    for body, read, words in (
        ("[]", decoded_object, "it is no object"),
        ("{}", decoded_objects, "it is no list"),
        ("<html>", decoded_object, "the upstream's answer is not JSON (no content type)"),
        ("<html>", decoded_objects, "the upstream's answer is not JSON (no content type)"),
        ("<html>", decoded, "the upstream's answer is not JSON (no content type)"),
    ):
        with pytest.raises(ProviderError) as raised:
            read(reply_of(body), unexpected)
        assert raised.value.message == f"Acme is odd: {words}"
    with pytest.raises(ProviderError, match="Acme is odd: an object was due"):
        decoded_object(reply_of("1"), unexpected, "an object was due")


def test_a_body_of_the_right_form_is_decoded() -> None:
    """What is no object in a list is left out."""
    assert decoded(reply_of("1"), unexpected) == 1
    assert decoded_object(reply_of('{"a": 1}'), unexpected) == {"a": 1}
    assert decoded_objects(reply_of('[{"a": 1}, 2, {}]'), unexpected) == [{"a": 1}, {}]
    lenient = decoded_object(reply_of("NaN"), unexpected, decode=lambda reply: {"a": reply.text})
    assert lenient == {"a": "NaN"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1.5", 1.5), ("-3", 0.0), ("0", 0.0), ("nan", None), ("inf", None), ("soon", None)],
)
def test_seconds_of_headers(text: str, seconds: float | None) -> None:
    """Retry-After reads numbers the same way."""
    assert seconds_of(text) == retry_after(reply_of("", **{"Retry-After": text})) == seconds


def test_no_seconds() -> None:
    """The header is not there, or empty."""
    assert seconds_of(None) is seconds_of("") is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (None, "Acme answered HTTP 200"),
        ("", "Acme answered HTTP 200"),
        ("no\nway", "Acme answered HTTP 200: no way"),
        ("x" * 295 + "s3cretvalue", "Acme answered HTTP 200: " + "x" * 295 + "***"),
    ],
)
def test_the_vendors_words_are_clean_before_they_are_cut(words: str | None, told: str) -> None:
    """Half a secret would not be known as one."""
    assert answered("Acme", reply_of(""), words, Redactor(["s3cretvalue"])) == told


@pytest.mark.parametrize("message", ["It is lost.", "It is lost", f"It is lost. {MAYBE}"])
def test_an_unknown_outcome_is_said_once(message: str) -> None:
    """Whether or not the message ends with a full stop."""
    error: Any = UpstreamTimeout(message, outcome_unknown=True)
    assert telling(error) is error
    assert telling(error).message == f"It is lost. {MAYBE}"


@pytest.mark.parametrize("message", ["Lost!", "Is it lost?", "It is l…", "It is lost..."])
def test_a_message_that_has_an_end_gets_no_full_stop(message: str) -> None:
    assert joined(message, "Look.") == f"{message} Look."


def test_a_known_outcome_is_not_doubted() -> None:
    """Nothing is added."""
    assert telling(ProviderError("It is refused.")).message == "It is refused."

"""A complete answer of an upstream, and what can be read from it."""

import datetime
import email.utils
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from opsorch.errors import OpsOrchError, ProviderError
from opsorch.observability.redact import Redactor, clean_text
from opsorch.plugin.payload import Json
from opsorch.plugin.vendor import as_objects

T = TypeVar("T")
# Makes the error of an answer of another shape from what is wrong with it.
Unexpected = Callable[[str], OpsOrchError]


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer of the upstream; ``wrote`` marks the answer to a write."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    wrote: bool = False

    def json(self) -> Any:
        """Decode the body as strict JSON; half a surrogate pair in a text becomes U+FFFD.

        Raises:
            ProviderError: It is not JSON (a login page, say); names the content type. After a
                write that succeeded, its outcome is unknown.
        """
        try:
            return _json_of(self.body, msgspec.json.decode)
        except _NO_JSON as exc:
            raise self._not_json() from exc

    def json_as(self, decoder: msgspec.json.Decoder[T]) -> T:
        """Decode the body straight into the decoder's type, for large answers; else as json().

        Raises:
            ProviderError: It is not JSON.
            msgspec.ValidationError: It is JSON of another form.
        """
        try:
            return _json_of(self.body, decoder.decode)
        except msgspec.ValidationError:
            raise
        except _NO_JSON as exc:
            raise self._not_json() from exc

    def _not_json(self) -> ProviderError:
        kind = clean_text(self.headers.get("Content-Type") or "no content type", 60)
        return ProviderError(
            f"the upstream's answer is not JSON ({kind})",
            outcome_unknown=self.wrote and self.status < 400,
        )

    def json_or_none(self) -> Any:
        """Decode the body where it is JSON, else return None; for error bodies."""
        try:
            return _json_of(self.body, msgspec.json.decode)
        except _NO_JSON:
            return None

    @property
    def text(self) -> str:
        """The body as text, broken bytes replaced."""
        return self.body.decode("utf-8", "replace")


_NO_JSON = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
# One escape of a JSON text after the other, so that an escaped backslash is never half of one.
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


def _json_of(body: bytes, decode: Callable[[bytes], T]) -> T:
    """Decode JSON. Log texts cut in the middle of a pair cost themselves, not the whole answer."""
    try:
        return decode(body)
    except msgspec.DecodeError:
        mended = _ESCAPE.sub(lambda m: b"\\ufffd" if m.group(1) else m.group(), body)
        if mended == body:
            raise
        return decode(mended)


def decoded(
    reply: Reply, unexpected: Unexpected, decode: Callable[[Reply], Any] = Reply.json
) -> Any:
    """Decode a body, as strict JSON unless told how.

    Raises:
        OpsOrchError: It cannot be decoded; made by ``unexpected``.
    """
    try:
        return decode(reply)
    except ProviderError as exc:
        raise unexpected(exc.message) from exc


def decoded_object(
    reply: Reply,
    unexpected: Unexpected,
    why: str = "it is no object",
    *,
    decode: Callable[[Reply], Any] = Reply.json,
) -> Json:
    """Decode a body that is an object.

    Raises:
        OpsOrchError: It is none; made by ``unexpected``, of ``why``.
    """
    body = decoded(reply, unexpected, decode)
    if not isinstance(body, dict):
        raise unexpected(why)
    return body


def decoded_objects(reply: Reply, unexpected: Unexpected, why: str = "it is no list") -> list[Json]:
    """Decode a body that is a list; what is no object in it is left out.

    Raises:
        OpsOrchError: It is none; made by ``unexpected``, of ``why``.
    """
    body = decoded(reply, unexpected)
    if not isinstance(body, list):
        raise unexpected(why)
    return as_objects(body)


def answered(vendor: str, reply: Reply, words: str | None, redact: Redactor) -> str:
    """Say what a reply's status was, and the vendor's words: secrets masked, then cut."""
    told = clean_text(redact(words or ""))
    return f"{vendor} answered HTTP {reply.status}" + (f": {told}" if told else "")


def seconds_of(value: str | None) -> float | None:
    """Read a header that is a number of seconds, 0 where it is negative; None for none."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def retry_after(reply: Reply) -> float | None:
    """Read Retry-After, seconds or an HTTP date, as seconds from now (RFC 9110, 10.2.3)."""
    value = (reply.headers.get("Retry-After") or "").strip()
    if not value:
        return None
    seconds = seconds_of(value)
    if seconds is not None:
        return seconds
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds())

"""Frames: requests written once, replies read as they come, however they are cut.

A reply is one JSON object. The usual one stands on one line and is found by its newline; one that
is pretty-printed, or has no newline, is tried whenever the plugin pauses.
"""

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from opsorch.errors import ReplyBroken, ReportedError

# Text on stdout before a reply (a stray print) is skipped up to here.
MAX_TEXT_BYTES: Final = 64 * 1024
MAX_MESSAGE_CHARS: Final = 2000

# Redacting megabytes takes seconds, so a text is cut before. The first half of a secret, which no
# redactor knows, then stands at the end: as much as a secret may be long is taken off again.
_MAX_SECRET_CHARS: Final = 8 * 1024
_REDACTED_CHARS: Final = 2 * _MAX_SECRET_CHARS

_BLANK: Final = b" \t\r\n"
_blanks: Final = re.compile(rb"\s+").match
_NO_REASON: Final = "The provider gave no reason."


class Envelope(msgspec.Struct):
    """A reply as it came: its members are raw JSON, empty where the reply has none."""

    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")
    id: msgspec.Raw = msgspec.Raw(b"")


_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ReplyReader:
    """Finds one reply in what a plugin writes to its stdout.

    Args:
        limit: Bytes of a reply at most.
        limit_name: The variable that sets it, for messages.
        on_text: Called with each skipped line.
    """

    def __init__(self, limit: int, limit_name: str, on_text: Callable[[bytes], None]) -> None:
        self._limit = limit
        self._limit_name = limit_name
        self._on_text = on_text
        self._buffer = bytearray()
        self._searched = 0
        self._many_lines = False
        self._joined = False
        self._text_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Take what was read.

        Raises:
            ReplyBroken: The reply is over the limit.
        """
        self._buffer += chunk
        if len(self._buffer) > self._limit:
            # Not left to the end of whatever holds the exception and its frames.
            self._buffer.clear()
            raise ReplyBroken(
                f"its reply is over the limit of {self._limit} bytes ({self._limit_name})"
            )

    @property
    def looks_whole(self) -> bool:
        """Tell whether what is there may be a whole reply without its newline."""
        tail = bytes(self._buffer[-64:]).rstrip(_BLANK)
        return tail.endswith(b"}")

    @property
    def has_rest(self) -> bool:
        """Tell whether anything but white space stands behind the reply."""
        return bool(self._buffer.strip(_BLANK))

    @property
    def is_half_a_reply(self) -> bool:
        """Tell whether what is there, blanks aside, is a reply without its end."""
        data = bytes(self._buffer).lstrip(_BLANK)
        try:
            return data.startswith(b"{") and _read(data) is None
        except ReplyBroken:
            return False

    def take(self, *, paused: bool = False) -> Envelope | None:
        """Return the reply, or None while it is not complete.

        Args:
            paused: The plugin writes nothing at the moment, so a reply without a newline at its
                end, or of several lines, may be complete.

        Raises:
            ReplyBroken: It is no reply, or too much text stands before it.
        """
        # What ends otherwise is no whole object, and a number cut in two would count as a fault.
        paused = paused and self.looks_whole
        while True:
            self._drop_blanks()
            if not self._buffer:
                return None
            is_text = self._buffer[:1] != b"{"
            line_end = self._buffer.find(b"\n", self._searched)
            self._searched = len(self._buffer) if line_end < 0 else line_end
            if line_end < 0 and (is_text or not paused):
                self._bound_text(len(self._buffer) if is_text else 0)
                return None
            if is_text:
                self._skip(line_end + 1)
                continue
            if self._many_lines and not paused:
                return None
            end = len(self._buffer) if self._many_lines or line_end < 0 else line_end + 1
            read = self._read_first(end)
            if read is None:
                if line_end < 0 or self._many_lines:
                    return None
                self._many_lines = True
                continue
            envelope, size = read
            if envelope is None:
                self._joined |= size < end
                self._skip(size)
                continue
            self._drop(size)
            return envelope

    def _read_first(self, end: int) -> "tuple[Envelope | None, int] | None":
        """Read the object at the start of what ends there; see _read.

        Where objects that are text stand close together, a short part is tried first: each of them
        would cost a copy of all that stands behind it.
        """
        if self._joined and end > MAX_TEXT_BYTES:
            with contextlib.suppress(ReplyBroken):
                read = _read(self._copied(MAX_TEXT_BYTES))
                if read is not None:
                    return read
        return _read(self._copied(end))

    def _copied(self, size: int) -> bytes:
        """Copy the first bytes, once: every copy of a large reply is paid for in page faults."""
        with memoryview(self._buffer) as view:
            return bytes(view[:size])

    def _skip(self, size: int) -> None:
        line = bytes(self._buffer[:size])
        self._drop(size)
        self._many_lines = False
        self._text_bytes += size
        self._bound_text(0)
        self._on_text(line.strip())

    def _bound_text(self, pending: int) -> None:
        if self._text_bytes + pending > MAX_TEXT_BYTES:
            raise ReplyBroken(
                f"it wrote more than {MAX_TEXT_BYTES // 1024} KiB of text to its standard output"
                " before a reply; only replies belong there"
            )

    def _drop(self, size: int) -> None:
        del self._buffer[:size]
        self._searched = max(0, self._searched - size)

    def _drop_blanks(self) -> None:
        blanks = _blanks(self._buffer)
        if blanks is not None:
            self._drop(blanks.end())


def _read(data: bytes) -> tuple[Envelope | None, int] | None:
    """Read the JSON object at the start of the data.

    Returns:
        The reply and its size in bytes; with None instead of the reply where the object is none
        (a JSON log line); None where the object is not complete.

    Raises:
        ReplyBroken: It is no JSON.
    """
    size = len(data)
    try:
        envelope = _decode_envelope(data)
    except msgspec.DecodeError as exc:
        end = _end_of_object(data, exc)
        if end is None:
            return None
        data, size = data[:end], end
        try:
            envelope = _decode_envelope(data)
        except (msgspec.DecodeError, RecursionError) as inner:
            raise ReplyBroken("its reply is no JSON") from inner
    except RecursionError as exc:
        raise ReplyBroken("its reply is nested too deeply") from exc
    try:
        # Inside raw members msgspec does not look at the encoding.
        if not data.isascii():
            str(data, "utf-8")
    except UnicodeDecodeError as exc:
        raise ReplyBroken("its reply is not UTF-8") from exc
    if not (envelope.result or envelope.error) and not _decode_keys(data).keys() <= {"id"}:
        return None, size
    return envelope, size


def _end_of_object(data: bytes, failure: msgspec.DecodeError) -> int | None:
    """Tell where the JSON object at the start ends; None where it is not complete.

    The standard library's parser stops behind the first value, which msgspec's cannot; and it
    tells a cut value from one that msgspec calls cut because it refuses half a surrogate pair.

    Raises:
        ReplyBroken: It is no JSON.
    """
    try:
        # What stands behind the object may be anything; the object itself is looked at later.
        text = data.decode(errors="surrogateescape")
        _, end = _LAX.raw_decode(text)
    except RecursionError as exc:
        raise ReplyBroken("its reply is nested too deeply") from exc
    except ValueError as exc:
        if "truncated" in str(failure):
            return None
        raise ReplyBroken("its reply is no JSON") from exc
    if end == len(text.rstrip()):
        raise ReplyBroken("its reply is no JSON") from failure
    return len(text[:end].encode(errors="surrogateescape"))


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_LAX: Final = json.JSONDecoder(parse_constant=_refuse)


def has_id(envelope: Envelope) -> bool:
    """Tell whether a reply says which request it answers."""
    return bool(envelope.id) and bytes(envelope.id) != b"null"


def check_id(envelope: Envelope, expected: str) -> None:
    """Refuse a reply to another request; replies without an id are taken.

    Raises:
        ReplyBroken: The id is another one.
    """
    if has_id(envelope) and bytes(envelope.id) != msgspec.json.encode(expected):
        raise ReplyBroken("its reply carries the id of another request")


def result_of(envelope: Envelope, redact: Callable[[str], str]) -> msgspec.Raw | bytes:
    """Return the raw result of a reply, ``null`` where it has none.

    Args:
        envelope: The reply.
        redact: Takes secrets out of what the plugin says.

    Raises:
        ReportedError: The plugin reported an error. An empty one beside a result is none.
    """
    error = _loads(envelope.error)
    if error is None or (envelope.result and error in ("", {})):
        return envelope.result or b"null"
    if isinstance(error, str):
        raise ReportedError(_said(error, redact) or _NO_REASON)
    if not isinstance(error, dict):
        raise ReportedError(_NO_REASON)
    raise ReportedError(
        _said(_text(error.get("message")), redact) or _NO_REASON,
        code=_code(error.get("code"), redact),
        retry_after_s=_seconds(error.get("retryAfter")),
        outcome_unknown=error.get("outcome") == "unknown",
    )


def _loads(raw: msgspec.Raw) -> Any:
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return {}


# Printable ASCII without quotes and backslash.
_is_code: Final = re.compile(r"[ !#-&(-\[\]-~]{1,64}").fullmatch


def _code(value: Any, redact: Callable[[str], str]) -> str:
    """Take a code, a plugin's own too, as it stands; of a long one the beginning."""
    said = value.strip() if isinstance(value, str) and len(value) < _REDACTED_CHARS else ""
    code = redact(said)[:64]
    return code if _is_code(code) else "provider_error"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _seconds(value: Any) -> float | None:
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,9}(\.\d{1,9})?\s*", value, re.ASCII):
        value = float(value)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    return value if fits else None


def _said(text: str, redact: Callable[[str], str]) -> str:
    """Redact what a plugin says, and cut it."""
    if len(text) > _REDACTED_CHARS:
        text = f"{redact(text[:_REDACTED_CHARS])[:-_MAX_SECRET_CHARS]}…"
    else:
        text = redact(text)
    return text if len(text) <= MAX_MESSAGE_CHARS else f"{text[: MAX_MESSAGE_CHARS - 1]}…"

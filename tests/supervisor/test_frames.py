"""Frames: any reply, however it is cut and whatever stands before it, is found; nothing else is."""

import contextlib
import itertools
import json
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch.errors import ReplyBroken, ReportedError
from opsorch.supervisor.frames import (
    MAX_MESSAGE_CHARS,
    MAX_TEXT_BYTES,
    Envelope,
    ReplyReader,
    check_id,
    result_of,
)

MIB = 2**20


class Reading:
    """Feeds pieces as a plugin writes them and looks for the reply after each."""

    def __init__(self, limit: int = MIB) -> None:
        self.text: list[bytes] = []
        self.reader = ReplyReader(limit, "MAX_REPLY_BYTES", self.text.append)

    def read(self, pieces: Sequence[bytes], *, pauses: bool = False) -> Envelope | None:
        """Return the first reply; ``pauses``: the plugin rests after each piece."""
        for piece in pieces:
            self.reader.feed(piece)
            envelope = self.reader.take(paused=pauses and self.reader.looks_whole)
            if envelope is not None:
                return envelope
        return self.reader.take(paused=True)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut at these places, taken round the length."""
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


# What JSON can hold; half of a surrogate pair is none of it.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["}", '{"result":1}', "\n", '\\"', "\u2028\u2029\u0085", "😀", '\\u00e9"}'],
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
REPLIES = st.fixed_dictionaries({"result": VALUES}, optional={"id": TEXTS, "extra": VALUES})
STYLES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"indent": st.sampled_from([None, 0, 2, "\t"]), "ensure_ascii": st.booleans()}
)
PLACES = st.lists(st.integers(0, 10**6), max_size=12)
LINES_OF_TEXT = st.lists(
    st.sampled_from(
        [
            b"hi",
            b"",
            b"  ",
            b"\xff\xfe",
            b"[1]",
            b'"{"',
            b"x {",
            b'{"level":"info","msg":"}{"}',
            b'{\n "msg": "\xc3\xa9"\n}',
        ]
    ),
    max_size=5,
)


def encode(value: Any, style: dict[str, Any]) -> bytes:
    return json.dumps(value, **style).encode()


@given(REPLIES, STYLES, PLACES, LINES_OF_TEXT, st.sampled_from([b"", b"\n", b"\r\n", b" \n\n"]))
@settings(max_examples=300, deadline=None)
def test_any_reply_is_found_however_it_is_cut(
    reply: Any, style: dict[str, Any], places: list[int], text: list[bytes], end: bytes
) -> None:
    before = b"".join(line + b"\n" for line in text)
    for pauses in (False, True):
        reading = Reading()
        pieces = cut(before + encode(reply, style) + end, places)
        envelope = reading.read(pieces, pauses=pauses)
        assert envelope is not None
        assert json.loads(bytes(envelope.result)) == reply["result"]
        assert not envelope.error
        assert json.loads(bytes(envelope.id) or b"null") == reply.get("id")
        told = [line.strip() for line in text if line.strip()]
        assert reading.text == told


@given(REPLIES, REPLIES, STYLES, PLACES, st.sampled_from([b"", b" ", b"\n"]))
@settings(max_examples=100, deadline=None)
def test_what_stands_behind_the_reply_is_noticed(
    reply: Any, other: Any, style: dict[str, Any], places: list[int], gap: bytes
) -> None:
    reading = Reading()
    pieces = cut(encode(reply, style) + gap + encode(other, style) + b"\n", places)
    envelope = reading.read(pieces)
    assert envelope is not None
    assert json.loads(bytes(envelope.result)) == reply["result"]
    with contextlib.suppress(ReplyBroken):
        for piece in pieces:
            reading.reader.feed(piece)
    assert reading.reader.has_rest


@given(REPLIES, STYLES, st.integers(1, 10**6))
@settings(max_examples=200, deadline=None)
def test_a_part_of_a_reply_is_none(reply: Any, style: dict[str, Any], place: int) -> None:
    data = encode(reply, style)
    part = data[: place % len(data)]
    reading = Reading()
    assert reading.read([part], pauses=True) is None
    assert reading.reader.has_rest == bool(part)


@given(st.binary(max_size=200), PLACES)
@settings(max_examples=500, deadline=None)
def test_no_bytes_raise_anything_but_broken(data: bytes, places: list[int]) -> None:
    for start in (b"", b"{", b'{"result":', b'{"result":"'):
        with contextlib.suppress(ReplyBroken):
            envelope = Reading().read(cut(start + data, places), pauses=True)
            if envelope is not None and envelope.result:
                json.loads(bytes(envelope.result))


def test_single_bytes_take_linear_time() -> None:
    def seconds(size: int) -> float:
        reading = Reading(limit=2 * MIB)
        data = b'{"result":"' + b"}" * size + b'"}\n'
        began = time.process_time()
        assert reading.read([data[n : n + 1] for n in range(len(data))]) is not None
        return time.process_time() - began

    seconds(1000)
    short, long = min(seconds(20_000) for _ in range(3)), min(seconds(160_000) for _ in range(3))
    # Eight times the size: eight times the time, where quadratic were sixty-four.
    assert long < short * 24


def test_single_bytes_of_many_lines_take_linear_time() -> None:
    def seconds(size: int) -> float:
        reading = Reading(limit=2 * MIB)
        data = b'{"result":[\n' + b"1,\n" * size + b"1]\n}\n"
        began = time.process_time()
        assert reading.read([data[n : n + 1] for n in range(len(data))]) is not None
        return time.process_time() - began

    seconds(1000)
    short, long = min(seconds(7_000) for _ in range(3)), min(seconds(56_000) for _ in range(3))
    assert long < short * 24


@pytest.mark.parametrize("line", [b" x\n", b'{"a":1}', b'{\n"a":1\n}\n'], ids=repr)
def test_text_costs_no_more_where_much_stands_behind_it(line: bytes) -> None:
    def seconds(size: int) -> float:
        reading = Reading(limit=4 * MIB)
        data = line * 2000 + b'{"result":"' + b"x" * size + b'"}\n'
        began = time.process_time()
        assert reading.read([data], pauses=True) is not None
        assert len(reading.text) == 2000
        return time.process_time() - began

    seconds(1000)
    short, long = min(seconds(30_000) for _ in range(3)), min(seconds(3 * MIB) for _ in range(3))
    # A hundred times the size; not even ten times the time.
    assert long < short * 10


def test_blanks_alone_are_nothing() -> None:
    reading = Reading()
    assert reading.read([b" ", b"\n\n", b"\r\n \t"], pauses=True) is None
    assert not reading.reader.has_rest
    assert not reading.reader.looks_whole


def test_a_line_is_searched_once_behind_blanks() -> None:
    reading = Reading()
    assert reading.read([b'  \n {"result"', b":7}", b"\n"]) == Envelope(result=msgspec.Raw(b"7"))


@pytest.mark.parametrize("size", [MIB + 1, 3 * MIB])
def test_a_reply_over_the_limit_is_refused(size: int) -> None:
    with pytest.raises(ReplyBroken, match=r"limit of 1048576 bytes \(MAX_REPLY_BYTES\)"):
        Reading().read([b"{" + b" " * (size - 1)])


def test_a_reply_of_the_limit_is_taken() -> None:
    data = b'{"result":"' + b"x" * (MIB - 14) + b'"}\n'
    assert len(data) == MIB
    assert Reading().read([data]) is not None


@pytest.mark.parametrize("line", [b"text\n", b'{"level":"info"}\n', b"\xc3\n"])
def test_text_is_skipped_up_to_its_limit(line: bytes) -> None:
    most = MAX_TEXT_BYTES // len(line)
    reading = Reading()
    assert reading.read([line * most, b"{}\n"]) == Envelope()
    assert len(reading.text) == most
    with pytest.raises(ReplyBroken, match="64 KiB of text"):
        Reading().read([line * (most + 1), b"{}\n"])


def test_text_without_end_is_cut_at_its_limit() -> None:
    reading = Reading()
    assert reading.read([b"x" * MAX_TEXT_BYTES]) is None
    reading.reader.feed(b"x")
    with pytest.raises(ReplyBroken, match="64 KiB of text"):
        reading.reader.take()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{no}\n", "no JSON"),
        (b'{"result":01}\n', "no JSON"),
        (b'{"result":NaN}\n', "no JSON"),
        (b'{"result":"\\ud800"}\n', "no JSON"),
        (b'{"a":"\\ud800"}\n', "no JSON"),
        (b'{"a":1}{"result":"\\ud800"}\n', "no JSON"),
        (b'{"result":"\\ud800"}{"result":1}\n', "no JSON"),
        (b'{"result":"\xff"}\n', "not UTF-8"),
        (b'{"result":"\xff"}{"result":1}\n', "not UTF-8"),
        (b'{"result":' + b"[" * 10**5 + b"]" * 10**5 + b"}\n", "nested too deeply"),
        (b'{"result":' + b"[" * 10**5 + b"\n", "nested too deeply"),
        (b'{"a":"\\ud800","b":' + b"[" * 10**5 + b"\n", "nested too deeply"),
        (b'{"\xff":1}\n', "no JSON|not UTF-8"),
    ],
)
def test_what_is_no_json_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(ReplyBroken, match=reason):
        Reading().read([data])


@pytest.mark.parametrize("rest", [b"\xff", b"\0", b"}", b" {", b'"', b"[" * 10**5])
def test_anything_may_stand_behind_a_reply(rest: bytes) -> None:
    reading = Reading()
    envelope = reading.read([b'{"result":"\xc3\xa9"}' + rest + b"\n"])
    assert envelope is not None
    assert bytes(envelope.result) == b'"\xc3\xa9"'
    assert reading.reader.has_rest


def test_a_character_that_is_cut_is_waited_for() -> None:
    data = '{"result":\n"é"}\n'.encode()
    place = data.index(b"\xc3") + 1
    assert Reading().read([data[:place]], pauses=True) is None
    envelope = Reading().read([data[:place], data[place:]], pauses=True)
    assert envelope is not None
    assert bytes(envelope.result) == '"é"'.encode()


@pytest.mark.parametrize("given_id", [b"", b"null", b'"7"'])
def test_the_right_id_and_none_are_taken(given_id: bytes) -> None:
    check_id(Envelope(id=msgspec.Raw(given_id)), "7")


@pytest.mark.parametrize("given_id", [b"7", b'"8"', b'"07"', b"{}", b"false", b'""'])
def test_another_id_is_refused(given_id: bytes) -> None:
    with pytest.raises(ReplyBroken, match="another request"):
        check_id(Envelope(id=msgspec.Raw(given_id)), "7")


def reply(**members: Any) -> Envelope:
    return Envelope(**{name: msgspec.Raw(json.dumps(v).encode()) for name, v in members.items()})


def mask(text: str) -> str:
    return text.replace("s3cret", "***")


@pytest.mark.parametrize("error", [None, "", {}])
def test_an_empty_error_beside_a_result_is_none(error: Any) -> None:
    assert bytes(result_of(reply(error=error, result=[1]), mask)) == b"[1]"


def test_no_result_is_null() -> None:
    assert bytes(result_of(reply(), mask)) == b"null"
    assert bytes(result_of(reply(error=None), mask)) == b"null"


def failure(error: Any) -> ReportedError:
    with pytest.raises(ReportedError) as caught:
        result_of(reply(error=error), mask)
    return caught.value


@pytest.mark.parametrize("error", ["", {}, 0, False, [], {"message": ""}, {"message": 5}])
def test_an_error_without_words_has_some(error: Any) -> None:
    assert failure(error).message == "The provider gave no reason."
    assert failure(error).code == "provider_error"


def test_an_error_that_cannot_be_read_has_no_reason() -> None:
    deep = Envelope(error=msgspec.Raw(b"[" * 10**5 + b"]" * 10**5))
    with pytest.raises(ReportedError, match="gave no reason"):
        result_of(deep, mask)


def test_what_a_plugin_says_is_redacted_and_cut() -> None:
    assert failure("token s3cret").message == "token ***"
    assert failure({"message": "token s3cret"}).message == "token ***"
    long = failure("x" * (MAX_MESSAGE_CHARS + 1)).message
    assert long == "x" * (MAX_MESSAGE_CHARS - 1) + "…"
    assert failure("x" * MAX_MESSAGE_CHARS).message == "x" * MAX_MESSAGE_CHARS


def test_of_a_huge_text_little_is_redacted() -> None:
    seen: list[int] = []

    def redact(text: str) -> str:
        seen.append(len(text))
        return text

    with pytest.raises(ReportedError) as caught:
        result_of(reply(error="x" * 4 * MIB), redact)
    assert caught.value.message == "x" * (MAX_MESSAGE_CHARS - 1) + "…"
    assert sum(seen) < 100_000


@pytest.mark.parametrize("length", [6, 100, 2000, 5000])
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(length: int) -> None:
    """Wherever the cut falls, and however much shorter the text before it has become."""
    secret = "".join(chr(0x4E00 + n) for n in range(length))
    for shift in range(0, length, max(1, length // 50)):
        said = "." * shift + secret * (60_000 // length)
        with pytest.raises(ReportedError) as caught:
            result_of(reply(error=said), lambda text: text.replace(secret, "***"))
        assert not set(caught.value.message) - set(".*…"), shift


@pytest.mark.parametrize(
    ("code", "taken"),
    [
        ("not_found", "not_found"),
        ("x" * 70, "x" * 64),
        ("vendor-down", "vendor-down"),
        (" AWS.Throttling / 503 ", "AWS.Throttling / 503"),
        ("refused: s3cret", "refused: ***"),
        ("x" * 62 + "s3cret", "x" * 62 + "**"),
        ('a"b', "provider_error"),
        ("a'b", "provider_error"),
        ("a\\b", "provider_error"),
        ("a\nb", "provider_error"),
        ("é", "provider_error"),
        ("", "provider_error"),
        (" ", "provider_error"),
        ("x" * 100_000, "provider_error"),
        (5, "provider_error"),
        (None, "provider_error"),
    ],
)
def test_a_plugins_own_code_is_kept(code: Any, taken: str) -> None:
    """Redacted and cut; what needs quoting is none."""
    assert failure({"code": code, "message": "m"}).code == taken


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        *((30, 30), (0.5, 0.5), (0, 0), (-1, None), (1e9, None), (True, None)),
        *(("30", 30), (" 2.5 ", 2.5), ("-1", None), ("1e3", None), ("9" * 400, None)),
    ],
)
def test_a_waiting_time_is_a_number_of_seconds(said: Any, taken: float | None) -> None:
    assert failure({"message": "m", "retryAfter": said}).retry_after_s == taken


@pytest.mark.parametrize(("said", "unknown"), [("unknown", True), ("known", False), (1, False)])
def test_an_outcome_may_be_unknown(said: Any, unknown: bool) -> None:
    assert failure({"message": "m", "outcome": said}).outcome_unknown is unknown


@pytest.mark.parametrize(
    ("there", "half"),
    [
        (b"", False),
        (b" \n", False),
        (b"text", False),
        (b'\n {"result":[1', True),
        (b'{"result":"x', True),
        (b'{"result":1}', False),
        (b'{"result":1}\n{"re', False),
        (b'{"level":"info"}', False),
        (b'{"a":nonsense', False),
    ],
)
def test_half_a_reply_is_told_from_leftovers(there: bytes, half: bool) -> None:
    reader = ReplyReader(100, "MAX_REPLY_BYTES", lambda line: None)
    reader.feed(there)
    assert reader.is_half_a_reply is half

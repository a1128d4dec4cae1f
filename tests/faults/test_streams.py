"""Faults 13 to 26: what a plugin may do with its streams."""

import ctypes
import json
import pathlib
import time
from typing import Any

import pytest

from opsorch.errors import ReportedError
from opsorch.providers.supervised import SupervisedProvider
from tests.faults.support import SOON_S, Rig, eventually, together
from tests.processes import children

MIB = 2**20


def pieces(*parts: bytes, pause_s: float = 0.05) -> dict[str, Any]:
    """The payload that makes ``writes`` write these parts with a pause between."""
    return {"pieces": [part.decode("latin-1") for part in parts], "pause_s": pause_s}


def replaced(rig: Rig, provider: SupervisedProvider, reason: str) -> None:
    """The one process was killed for this reason, and the next call runs on another one."""
    [discarded] = rig.events.named("lease.discarded")
    assert discarded["reason"] == reason
    assert rig.call(provider) != discarded["pid"]
    eventually(lambda: discarded["pid"] not in children())
    rig.events.tell("process.started", "opsorch_plugin_starts_total", 2)
    assert rig.events.metric("opsorch_plugin_restarts_total") == 1


def kept(rig: Rig, provider: SupervisedProvider) -> None:
    """The one process was kept, and takes the next call."""
    assert rig.call(provider) in children()
    rig.events.tell("process.started", "opsorch_plugin_starts_total")
    assert not rig.events.named("lease.discarded")


@pytest.mark.fault(13)
def test_a_flood_on_stderr_does_not_hold_up_the_reply(rig: Rig) -> None:
    provider = rig.provider("noisy_stderr")
    began = time.monotonic()
    assert rig.call(provider, {"bytes": 5 * MIB, "line": 80}) == 5 * MIB
    assert time.monotonic() - began < SOON_S
    lines = rig.events.named("stderr.line")
    assert 100 <= len(lines) < 1000, "the rate of lines is limited"
    # The next line that the limit lets through tells how many it did not.
    eventually(
        lambda: (
            rig.call(provider, {"bytes": 80, "line": 80}) == 80
            and rig.events.metric("opsorch_plugin_stderr_lines_total") > 5 * MIB // 80
        )
    )
    assert rig.events.metric("opsorch_plugin_starts_total") == 1


@pytest.mark.fault(14)
def test_a_line_of_a_mebibyte_on_stderr_is_cut(rig: Rig) -> None:
    provider = rig.provider("noisy_stderr")
    assert rig.call(provider, {"bytes": MIB, "line": MIB}) == MIB
    [told] = eventually(lambda: rig.events.named("stderr.line"))
    assert told["line"] == "e" * 1000 + "…"
    assert rig.call(provider, {"bytes": 80, "line": 80}) == 80
    eventually(lambda: rig.events.named("stderr.line")[1:])
    rig.events.tell("stderr.line", "opsorch_plugin_stderr_lines_total", 2)
    assert rig.events.named("stderr.line")[1]["line"] == "e" * 79
    assert rig.events.metric("opsorch_plugin_starts_total") == 1


@pytest.mark.fault(15)
@pytest.mark.parametrize("repeatable", [True, False], ids=["read", "write"])
def test_closing_stdout_in_a_call_counts_as_death(rig: Rig, repeatable: bool) -> None:
    provider = rig.provider("closes")
    began = time.monotonic()
    error = rig.refused(provider, 1, repeatable=repeatable)
    assert time.monotonic() - began < SOON_S
    assert (error.status, error.code) == (502, "plugin_crashed")
    assert "closed its standard output" in error.message
    assert len(rig.events.named("process.died")) == 1 + repeatable
    assert rig.events.metric("opsorch_plugin_restarts_total", reason="died") == 1 + repeatable
    pid = rig.call(provider)
    eventually(lambda: children() == {pid})


@pytest.mark.fault(15)
def test_closing_stderr_is_fine(rig: Rig) -> None:
    provider = rig.provider("closes")
    pid = rig.call(provider, 2)
    assert rig.call(provider) == pid
    kept(rig, provider)


TEXT = [
    b"hi\n",
    b"\x1b[1mtoken=s3cret-value and more\n",
    b'{"level":"info","msg":"connecting"}\n',
    b'{\n  "level": "info"\n}\n',
    b"[1, 2]\n\n   \n'x'\n",
    b"\xff\xfe\x00 no text at all\n",
    b"x" * 60_000 + b"\n",
]


@pytest.mark.fault(16)
@pytest.mark.parametrize("text", TEXT, ids=range(len(TEXT)))
@pytest.mark.parametrize("apart", [True, False], ids=["apart", "joined"])
def test_text_before_a_reply_is_skipped(rig: Rig, text: bytes, apart: bool) -> None:
    def redact(line: str) -> str:
        return line.replace("s3cret-value", "***")

    provider = rig.provider("writes", redact=redact)
    reply = b'{"result":7,"id":"ID"}\n'
    asked = pieces(text, reply) if apart else pieces(text + reply)
    assert rig.call(provider, asked) == 7
    skipped = rig.events.named("stdout.skipped")
    assert skipped
    assert all(len(one["line"]) <= 201 and "s3cret" not in one["line"] for one in skipped)
    assert rig.events.metric("opsorch_plugin_stdout_skipped_total") == sum(
        1 + line["dropped"] for line in skipped
    )
    kept(rig, provider)


@pytest.mark.fault(16)
@pytest.mark.parametrize("warm", [False, True], ids=["started by the call", "kept warm"])
def test_a_banner_is_skipped(rig: Rig, warm: bool) -> None:
    provider = rig.provider("banner", min_idle=int(warm))
    if warm:
        eventually(lambda: provider.pool.snapshot().states["idle"])
    assert rig.call(provider) in children()
    lines = [one["line"] for one in rig.events.named("stdout.skipped")]
    assert lines == ["Welcome to the plugin, version 3", '{"level": "info", "msg": "up"}']
    assert rig.events.metric("opsorch_plugin_stdout_skipped_total") == 2
    kept(rig, provider)


@pytest.mark.fault(16)
@pytest.mark.parametrize("line", [b"x" * 100 + b"\n", b"x" * 70_000 + b"\n", b"x" * 70_000])
def test_too_much_text_before_a_reply_is_an_error(rig: Rig, line: bytes) -> None:
    provider = rig.provider("writes")
    began = time.monotonic()
    error = rig.refused(provider, pieces(line * -(-70_000 // len(line)), b'{"result":1}\n'))
    assert time.monotonic() - began < SOON_S
    assert (error.status, error.code) == (502, "provider_error")
    assert "64 KiB of text" in error.message
    skipped = rig.events.named("stdout.skipped")
    assert rig.events.metric("opsorch_plugin_stdout_skipped_total") == sum(
        1 + line["dropped"] for line in skipped
    )
    replaced(rig, provider, "ReplyBroken")


@pytest.mark.fault(17)
@pytest.mark.parametrize("rest", [b"x\n", b'{"result":"of another"}\n', b'{"id', b"\x00"])
def test_bytes_between_calls_replace_the_process(rig: Rig, rest: bytes) -> None:
    provider = rig.provider("writes")
    assert rig.call(provider, pieces(b'{"result":1}\n', rest)) == 1
    lent = provider.pool._idle[0]
    eventually(lambda: not lent.usable())
    assert isinstance(rig.call(provider), int)
    assert rig.call(provider) != lent.pid
    eventually(lambda: lent.pid not in children())
    rig.events.tell("stream.lost", "opsorch_plugin_streams_lost_total")
    assert rig.events.metric("opsorch_plugin_restarts_total") == 1
    assert rig.events.metric("opsorch_plugin_starts_total") == 2


@pytest.mark.fault(17)
def test_white_space_between_calls_is_none_of_that(rig: Rig) -> None:
    provider = rig.provider("writes")
    assert rig.call(provider, pieces(b'{"result":1}\n', b" \r\n\t\n", pause_s=0.01)) == 1
    kept(rig, provider)


@pytest.mark.fault(17)
@pytest.mark.parametrize("repeatable", [True, False], ids=["read", "write"])
def test_a_leftover_reply_reaches_no_other_caller(rig: Rig, repeatable: bool) -> None:
    # It comes when the next request is written and not yet taken; it carries no id.
    provider = rig.provider("second_reply_later")
    for mark in ("a", "b", "c"):
        assert rig.call(provider, mark, repeatable=repeatable) == mark
    rig.events.tell("stream.lost", "opsorch_plugin_streams_lost_total", 2)
    assert rig.events.metric("opsorch_plugin_starts_total") == 3
    assert len(children()) <= 3


@pytest.mark.fault(17)
@pytest.mark.parametrize("repeatable", [True, False], ids=["reads", "writes"])
def test_callers_that_wait_for_one_process_get_no_leftover(rig: Rig, repeatable: bool) -> None:
    """It comes when the next request is there already, and is followed by that one's reply."""
    provider = rig.provider("answers_twice", pool_size=1, queue_timeout_s=60)

    def call_often(caller: int) -> list[str]:
        kinds = ["bad" if number % 20 == caller else "ok" for number in range(40)]
        asked = [f"{kind}-{caller}-{number}" for number, kind in enumerate(kinds)]
        return [mark for mark in asked if rig.call(provider, mark, repeatable=repeatable) != mark]

    assert together(6, call_often) == [[]] * 6
    lost = len(rig.events.named("stream.lost"))
    assert lost
    rig.events.tell("stream.lost", "opsorch_plugin_streams_lost_total", lost)
    assert rig.call(provider, "ok")


WHOLE = [
    (b'{"result":7,"id":"ID"}',),
    (b'{"result":', b'7,"id":"ID"}\n'),
    (b'{"resu', b'lt":7}'),
    (b'{\n  "result":\n', b"   7\n}", b"\n"),
    (b'{\n  "other": {\n},\n "result": 7', b"\n}\n\n\n"),
    (b'\n\n{"result":7}\r\n',),
]


@pytest.mark.fault(18)
@pytest.mark.parametrize("parts", WHOLE, ids=range(len(WHOLE)))
def test_a_reply_is_found_however_it_is_cut(rig: Rig, parts: tuple[bytes, ...]) -> None:
    provider = rig.provider("writes")
    began = time.monotonic()
    assert rig.call(provider, pieces(*parts, pause_s=0.01)) == 7
    assert time.monotonic() - began < SOON_S, "it was not seen before the deadline"
    kept(rig, provider)


@pytest.mark.fault(18)
def test_half_a_reply_is_waited_for_until_the_deadline(rig: Rig) -> None:
    provider = rig.provider("writes")
    error = rig.refused(provider, pieces(b'{"result":7'), timeout_s=0.3)
    assert (error.status, error.code) == (504, "rpc_timeout")
    replaced(rig, provider, "RpcTimeout")


@pytest.mark.fault(18)
@pytest.mark.parametrize("gap", [b"", b"\n", b" \n "])
def test_two_replies_in_one_write_replace_the_process(rig: Rig, gap: bytes) -> None:
    provider = rig.provider("writes")
    reply = b'{"result":7,"id":"ID"}'
    assert rig.call(provider, pieces(reply + gap + reply + b"\n")) == 7
    replaced(rig, provider, "out of step")


@pytest.mark.fault(19)
def test_a_reply_of_single_bytes_takes_linear_time(rig: Rig) -> None:
    provider = rig.provider("byte_at_a_time")
    # Every byte of it looks like the end of a reply.
    assert rig.call(provider, 100_000, timeout_s=60) == "}" * 100_000
    assert rig.call(provider) == "}"
    rig.events.tell("process.started", "opsorch_plugin_starts_total")


def resident_mib() -> float:
    """What the process holds of memory; what is free but not given back is not counted."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / MIB


def most_resident_mib() -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def forget_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


@pytest.mark.fault(20)
def test_ten_mebibytes_are_a_reply(rig: Rig) -> None:
    provider = rig.provider("big_reply", max_reply_bytes=16 * MIB)
    assert len(rig.call(provider, 10)) == 10 * MIB
    assert len(rig.call(provider, 1)) == MIB
    rig.events.tell("process.started", "opsorch_plugin_starts_total")


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(17, marks=pytest.mark.fault(20)),
        pytest.param(None, marks=pytest.mark.fault(21)),
    ],
)
def test_a_reply_over_the_limit_is_cut_off(rig: Rig, size: int | None) -> None:
    provider = rig.provider("big_reply", max_reply_bytes=16 * MIB)
    rig.call(provider, 1)
    before = resident_mib()
    forget_peak()
    began = time.monotonic()
    error = rig.refused(provider, size)
    assert time.monotonic() - began < SOON_S
    assert (error.status, error.code) == (502, "provider_error")
    assert "OPSORCH_ALERT_MAX_REPLY_BYTES" in error.message
    assert str(16 * MIB) in error.message
    assert most_resident_mib() - before < 64
    eventually(lambda: resident_mib() - before < 16)
    assert len(rig.call(provider, 1)) == MIB
    assert [e["reason"] for e in rig.events.named("lease.discarded")] == ["ReplyBroken"]
    assert rig.events.metric("opsorch_plugin_restarts_total", reason="broken_reply") == 1
    eventually(lambda: len(children()) == 1)


BROKEN = {
    "no JSON": b"{what}",
    "cut by its newline": b'{"result": tru\n}',
    "trailing comma": b'{"result":1,}',
    "bad UTF-8": b'{"result":"\xff"}',
    "bad UTF-8 in a bag": b'{"result":{"metadata":{"a":"\xc3\x28"}}}',
    "bad UTF-8 in a key": b'{"\xff":0,"result":1}',
    "overlong UTF-8": b'{"result":"\xc0\xaf"}',
    "surrogate in UTF-8": b'{"result":"\xed\xa0\x80"}',
    "lone surrogate escape": b'{"result":"\\ud800"}',
    "lone surrogate in a key": b'{"\\udc00":1}',
    "NaN": b'{"result":NaN}',
    "Infinity": b'{"result":-Infinity}',
    "control character": b'{"result":"a\x01b"}',
    "deep list": b'{"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep object": b'{"result":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "deep log line": b'{"msg":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.fault(22)
@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
def test_what_is_no_json_is_an_error_of_the_provider(
    rig: Rig, reply: bytes, tmp_path: pathlib.Path
) -> None:
    provider = rig.provider("writes")
    began = time.monotonic()
    error = rig.refused(provider, pieces(reply + b"\n"))
    assert time.monotonic() - began < SOON_S
    assert (error.status, error.code) == (502, "provider_error")
    assert error.sent is True
    replaced(rig, provider, "ReplyBroken")


EXACT = [
    (b'{"result":123456789012345678901234567890}', 123456789012345678901234567890),
    (b'{"result":[-9223372036854775809,18446744073709551616]}', [-(2**63) - 1, 2**64]),
    (b'{"result":1,"result":2}', 2),
    (b'{"result":{"a":1,"a":2}}', {"a": 2}),
    (b'{"result":1.0}', 1.0),
    (b'{"result":"\\ud83d\\ude00"}', "😀"),
    (b'{"result":null}', None),
    (b"{}", None),
    (b'{"id":"ID"}', None),
    (b'{"extra":[1],"result":{"x":[]}}', {"x": []}),
]


@pytest.mark.fault(22)
@pytest.mark.parametrize(("reply", "expected"), EXACT, ids=range(len(EXACT)))
def test_what_is_json_arrives_exactly(rig: Rig, reply: bytes, expected: Any) -> None:
    provider = rig.provider("writes")
    assert rig.call(provider, pieces(reply + b"\n")) == expected
    kept(rig, provider)


@pytest.mark.fault(23)
def test_only_the_newline_ends_a_line(rig: Rig) -> None:
    provider = rig.provider("writes")
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf"
    body = json.dumps({"result": text, "id": "ID"}, ensure_ascii=False)
    # The two control characters must be escaped in JSON.
    raw = body.replace("\x0b", "\\u000b").replace("\x0c", "\\f").encode()
    assert rig.call(provider, pieces(raw + b"\r\n")) == text
    assert rig.call(provider, pieces(b'\r\r\r{"result":\r"x\\r\\n"\r}\r\n')) == "x\r\n"
    echo = rig.provider("echo", label="incident")
    assert rig.call(echo, text)["payload"] == text
    assert not rig.events.named("lease.discarded")
    assert rig.events.metric("opsorch_plugin_starts_total") == 2


OTHER_IDS = [b'"0"', b'"ID0"', b"5", b"true", b'["ID"]', b'{"a":1}', b'""']


@pytest.mark.fault(24)
@pytest.mark.parametrize("other", OTHER_IDS)
def test_the_reply_to_another_request_is_refused(rig: Rig, other: bytes) -> None:
    provider = rig.provider("writes")
    error = rig.refused(provider, pieces(b'{"result":1,"id":%b}\n' % other))
    assert (error.status, error.code) == (502, "provider_error")
    assert "another request" in error.message
    replaced(rig, provider, "ReplyBroken")


@pytest.mark.fault(24)
@pytest.mark.parametrize("reply", [b'{"result":1}\n', b'{"result":1,"id":null}\n'])
def test_a_reply_without_id_is_taken(rig: Rig, reply: bytes) -> None:
    provider = rig.provider("writes")
    assert rig.call(provider, pieces(reply)) == 1
    kept(rig, provider)


ERRORS: list[tuple[bytes, int, str, str]] = [
    (b'{"error":"it broke"}', 502, "provider_error", "it broke"),
    (b'{"error":{"code":"not_found","message":"no P1"}}', 404, "not_found", "no P1"),
    (b'{"error":{"code":"bad_request","message":"m"},"result":[]}', 400, "bad_request", "m"),
    (b'{"error":{"code":"conflict","message":"m"}}', 409, "conflict", "m"),
    (b'{"error":{"code":"upstream_timeout","message":"m"}}', 504, "upstream_timeout", "m"),
    (b'{"error":{"code":"auth_failed","message":"m"}}', 502, "auth_failed", "m"),
    (b'{"error":{"code":"unauthorized","message":"m"}}', 502, "unauthorized", "m"),
    (b'{"error":{"code":"payload_too_large","message":"m"}}', 502, "payload_too_large", "m"),
    (b'{"error":{"code":"teapot","message":"m"}}', 502, "teapot", "m"),
    (b'{"error":{"code":"a-b.c d","message":"m"}}', 502, "a-b.c d", "m"),
    (b'{"error":{"code":"a\'b","message":"m"}}', 502, "provider_error", "m"),
    (b'{"error":{"code":7,"message":8}}', 502, "provider_error", "gave no reason"),
    (b'{"error":{"message":"only this"}}', 502, "provider_error", "only this"),
    (b'{"error":{}}', 502, "provider_error", "gave no reason"),
    (b'{"error":""}', 502, "provider_error", "gave no reason"),
    (b'{"error":[1]}', 502, "provider_error", "gave no reason"),
    (b'{"error":5,"result":1}', 502, "provider_error", "gave no reason"),
    (b'{"error":"both","result":1}', 502, "provider_error", "both"),
]


@pytest.mark.fault(25)
@pytest.mark.parametrize(("reply", "status", "code", "text"), ERRORS, ids=range(len(ERRORS)))
def test_every_form_of_error_has_its_code(
    rig: Rig, reply: bytes, status: int, code: str, text: str
) -> None:
    provider = rig.provider("writes")
    error = rig.refused(provider, pieces(reply + b"\n"))
    assert isinstance(error, ReportedError)
    assert (error.status, error.code) == (status, code)
    assert text in error.message
    # A process that reports an error works.
    kept(rig, provider)


@pytest.mark.fault(25)
@pytest.mark.parametrize("empty", [b'""', b"{}", b"null"])
def test_an_empty_error_beside_a_result_is_none(rig: Rig, empty: bytes) -> None:
    provider = rig.provider("writes")
    assert rig.call(provider, pieces(b'{"error":%b,"result":3}\n' % empty)) == 3
    kept(rig, provider)


@pytest.mark.fault(25)
def test_an_error_says_when_to_repeat_and_what_is_not_known(rig: Rig) -> None:
    provider = rig.provider("writes")
    said = b'{"error":{"code":"rate_limited","message":"m","retryAfter":30,"outcome":"unknown"}}\n'
    error = rig.refused(provider, pieces(said))
    assert (error.status, error.retry_after_s, error.outcome_unknown) == (429, 30, True)
    error = rig.refused(provider, pieces(said.replace(b"30", b'"30"')))
    assert error.retry_after_s == 30
    for odd in (b'"soon"', b"-1", b"1e300", b"true", b"[]"):
        error = rig.refused(provider, pieces(b'{"error":{"message":"m","retryAfter":%b}}\n' % odd))
        assert error.retry_after_s is None
    kept(rig, provider)


@pytest.mark.fault(26)
def test_a_python_plugin_that_forgets_to_flush_answers(rig: Rig) -> None:
    provider = rig.provider("forgets_flush")
    assert rig.call(provider) is None
    assert rig.call(provider) is None
    rig.events.tell("process.started", "opsorch_plugin_starts_total")


@pytest.mark.fault(26)
def test_another_one_that_forgets_to_flush_runs_out_of_time(rig: Rig) -> None:
    script = rig.folder / "buffered"
    script.write_text("#!/bin/sh\nexec sed 's/.*/{\"result\":1}/'\n")
    script.chmod(0o755)
    provider = rig.provider(str(script), pool_size=1)
    for times in (1, 2):
        # The next call has a process of its own, and no better luck.
        error = rig.refused(provider, timeout_s=0.5)
        assert (error.status, error.code) == (504, "rpc_timeout")
        eventually(lambda: not children())
        rig.events.tell("lease.discarded", "opsorch_plugin_restarts_total", times, reason="timeout")


@pytest.mark.fault(24)
def test_callers_at_the_same_time_get_their_own_answers(rig: Rig) -> None:
    provider = rig.provider("late_reply", pool_size=4, queue_timeout_s=60)

    def call(number: int) -> bool:
        marks = [f"{number}-{turn}" for turn in range(20)]
        return [rig.call(provider, {"mark": m, "after_s": 0}) for m in marks] == marks

    assert together(8, call) == [True] * 8
    started = rig.events.metric("opsorch_plugin_starts_total")
    assert started == len(rig.events.named("process.started")) <= 4

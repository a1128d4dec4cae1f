"""The loop of a plugin: real processes, and its steps one by one."""

import contextlib
import gc
import json
import logging
import os
import pathlib
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsorch.plugin import serve as serving
from opsorch.plugin.provider import Dispatcher
from opsorch.plugin.testing import PluginProcess, command_of, run_plugin
from tests.plugin.acme import ENV, Acme, start

Json = dict[str, Any]

TOKEN = "a-token-of-the-tests"
CONFIG = {"token": TOKEN}


@pytest.fixture(scope="module")
def plugin() -> Iterator[PluginProcess]:
    with run_plugin(Acme, ENV) as process:
        yield process


def do(plugin: PluginProcess, deed: str, **more: Any) -> Json:
    return plugin.call("ticket.query", {"do": deed, **more}, config=CONFIG)


def answer(line: bytes | Json) -> Json:
    """Answer one line without a process."""
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    reply: Json = msgspec.json.decode(serving._answer(Dispatcher(Acme), data))
    return reply


def deed(name: str, **more: Any) -> Json:
    return answer({"method": "ticket.query", "config": CONFIG, "payload": {"do": name, **more}})


# --- requests and replies -----------------------------------------------------------------------


def test_a_call_reaches_its_method_with_payload_and_context(plugin: PluginProcess) -> None:
    """The context is passed on; the budget is the gateway's less the margin."""
    context = {"requestId": "r1", "actor": {"id": "u1"}, "traceparent": "00-1", "timeoutMs": 2000}
    frame = plugin.call("ticket.get", {"id": "1"}, config=CONFIG, context=context)
    assert frame["result"] == {
        "payload": {"id": "1"},
        "requestId": "r1",
        "actor": "u1",
        "traceparent": "00-1",
        "seconds": 1.8,
    }


@pytest.mark.parametrize(
    ("context", "seconds"),
    [
        (None, 30.0),
        ({}, 30.0),
        ("text", 30.0),
        ({"timeoutMs": 0}, 30.0),
        ({"timeoutMs": -5}, 30.0),
        ({"timeoutMs": True}, 30.0),
        ({"timeoutMs": "1000"}, 30.0),
        ({"timeoutMs": 1000}, 0.9),
        ({"timeoutMs": 10_000}, 9.5),
        ({"timeoutMs": 10**40}, 30.0),
    ],
)
def test_the_budget_of_a_call(context: Any, seconds: float) -> None:
    """The smaller of the gateway's, less a margin, and the adapter's own setting."""
    frame = answer({"method": "ticket.get", "context": context})
    assert frame["result"]["seconds"] == pytest.approx(seconds)


def test_an_actor_by_name_and_an_id_are_taken_as_they_are() -> None:
    """The id comes back; an actor may be a text."""
    frame = answer({"method": "ticket.get", "id": 7, "context": {"actor": "ops"}})
    assert (frame["id"], frame["result"]["actor"]) == (7, "ops")
    frame = answer({"method": "ticket.get", "context": {"actor": {"type": "user", "id": "u1"}}})
    assert frame["result"]["actor"] == "u1"
    assert answer({"method": "ticket.get", "id": "x", "payload": []})["id"] == "x"


@pytest.mark.parametrize("odd", [None, True, 1.5, ["x"], {"a": 1}])
def test_an_id_of_another_kind_is_left_out(odd: Any) -> None:
    """The protocol's ids are texts and whole numbers."""
    assert "id" not in answer({"method": "ticket.get", "id": odd})


@pytest.mark.fault(22)
@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b'"text"',
        b"{}",
        b'{"method": 1}',
        b'{"method": "ticket.get"} {}',
        b'{"method": "ticket.get", "payload": {"a": NaN}}',
        b'{"method": "ticket.get", "payload": {"a": 1e400}}',
        b'{"method": "ticket.get", "payload": {"a": "\xff"}}',
        b'{"method": "ticket.get", "payload": {"a": "\xed\xa0\x80"}}',
        b'{"method": "ticket.get", "payload": {"a": "\\ud800"}}',
        b'{"method": "ticket.get", "id": "\\ud800"}',
        b'{"method": "ticket.get", "payload": ' + b"[" * 100_000,
        b'{"method": "ticket.get", "payload": ' + b'{"a":' * 100_000,
        b"\xef\xbb\xbf{}",
        b"\x00",
    ],
)
def test_a_bad_line_is_answered_and_the_loop_goes_on(plugin: PluginProcess, line: bytes) -> None:
    """Every line has one reply, and the next call works."""
    assert plugin.send_line(line)["error"]["code"] == "bad_request"
    assert "result" in plugin.call("ticket.get", {"id": "1"})


@given(st.binary(max_size=60))
def test_any_line_has_one_line_for_an_answer(line: bytes) -> None:
    """No line ends the process, and none is answered with more than a line."""
    reply = serving._answer(Dispatcher(Acme), line)
    assert b"\n" not in reply
    assert set(json.loads(reply)) in ({"error"}, {"result"})


def test_blank_lines_are_passed_over_and_a_last_line_needs_no_end() -> None:
    """Only requests are answered, the one before the end of stdin too."""
    lines = b'\n  \n{"method": "ticket.get", "id": 1}\r\n{"method": "ticket.get", "id": 2}'
    done = subprocess.run(
        command_of(Acme), input=lines, capture_output=True, env=env(), timeout=60, check=True
    )
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, 2]


def test_numbers_and_odd_characters_pass_exactly(plugin: PluginProcess) -> None:
    """Big integers keep their digits; only byte 10 ends a line."""
    payload = {"big": 10**29 + 1, "float": 1.0, "text": "\u2028\u0085\r\n\x7f\U0001f600"}
    assert plugin.call("ticket.get", payload)["result"]["payload"] == payload


@pytest.mark.fault(22)
@pytest.mark.parametrize(
    "name",
    ["nan", "infinity", "nan in a class", "nan beside a big integer", "surrogate", "not json"],
)
def test_a_result_that_json_cannot_hold_is_an_error(plugin: PluginProcess, name: str) -> None:
    """It never becomes null, and the next call works."""
    error = do(plugin, name)["error"]
    assert error["code"] == "provider_error"
    assert "cannot be written as JSON" in error["message"]
    assert error["outcome"] == "unknown"
    assert do(plugin, "none")["result"]["big"] == 10**30


def test_nulls_are_no_nan_and_are_found_out_without_a_walk(monkeypatch: Any) -> None:
    """A result with nulls, as most have, is not walked in Python."""
    monkeypatch.setattr(serving, "_has_nan", lambda value: pytest.fail("walked"))
    entries = [{"a": None, "b": 1.5, "c": ["\u02ff\u00ff\u02c0", -(2**40), True]}] * 100
    assert msgspec.json.decode(serving._strict({"result": entries}))["result"] == entries


def test_what_only_looks_like_nan_passes() -> None:
    """Bytes are encoded as text, whatever they hold."""
    assert deed("bytes like nan")["result"] == {"none": None, "bytes": "y3/4"}
    assert deed("none")["result"]["value"] is None


def test_results_inside_the_gateway_are_as_strict() -> None:
    """The same encoder serves both ways to run an adapter."""
    assert serving.strict_json([1, None, 1.5]) == b"[1,null,1.5]"
    for value in (float("nan"), {"a": [None, float("inf")]}, "\ud800"):
        with pytest.raises(ValueError):  # noqa: PT011  one of the texts is the codec's own
            serving.strict_json(value)


def test_a_secret_is_never_a_result() -> None:
    """It has no form in JSON."""
    frame = deed("secret")
    assert frame["error"]["code"] == "provider_error"
    assert TOKEN not in str(frame)


@pytest.mark.fault(22)
def test_depth_is_bounded(plugin: PluginProcess) -> None:
    """A hundred levels pass, a hundred thousand are an error."""
    assert "result" in do(plugin, "deep", depth=100)
    assert do(plugin, "deep", depth=100_000)["error"]["code"] == "provider_error"
    assert "result" in do(plugin, "deep", depth=1)


@pytest.mark.fault(20)
def test_a_reply_of_ten_megabytes(plugin: PluginProcess) -> None:
    """It arrives whole."""
    assert len(do(plugin, "big", count=10_000)["result"]) == 10_000


def test_errors_of_the_adapter(plugin: PluginProcess) -> None:
    """Code, message, wait and outcome are the protocol's."""
    wait = {"code": "rate_limited", "message": "slow down"}
    assert do(plugin, "some wait")["error"] == {**wait, "retryAfter": 2}
    assert do(plugin, "long wait")["error"] == {**wait, "retryAfter": 30 * 86_400}
    assert do(plugin, "endless wait")["error"] == wait
    unknown = {"code": "provider_error", "message": "lost", "outcome": "unknown"}
    assert do(plugin, "unknown outcome")["error"] == unknown
    assert do(plugin, "odd message")["error"] == {
        "code": "not_found",
        "message": "ticket ? is unknown",
    }
    assert do(plugin, "no message")["error"]["message"] == "an error for a message"


@pytest.mark.parametrize("name", ["crash", "exit", "recurse"])
def test_a_defect_of_the_adapter_does_not_end_the_process(plugin: PluginProcess, name: str) -> None:
    """The caller learns the kind of failure, never its text."""
    error = do(plugin, name)["error"]
    assert error["code"] == "provider_error"
    assert error["outcome"] == "unknown"  # A write may be half done.
    assert "its log says where" in error["message"]
    assert "result" in do(plugin, "none")


@pytest.mark.fault(56)
def test_a_secret_in_an_error_is_taken_out() -> None:
    """Neither replies nor the log hold the token, whatever the adapter raises."""
    process = start()
    try:
        replies = [do(process, name) for name in ("raise token", "crash", "secret")]
        replies.append(process.call("plugin.check", config=CONFIG))
        replies.append(process.call("ticket.get", config={**CONFIG, "url": f"x{TOKEN}"}))
    finally:
        log = process.close()
    assert replies[0]["error"]["message"] == "refused: ***"
    assert replies[3]["result"]["checks"][1]["message"] == "with ***"
    assert "acme.py" in log and "RuntimeError" in log
    assert TOKEN not in log + str(replies)


@pytest.mark.fault(16)
def test_stray_output_lands_on_stderr() -> None:
    """Prints, writes to descriptor 1 and children cannot break the frames."""
    process = start()
    try:
        assert do(process, "pollute") == {"result": "clean"}
        assert do(process, "pollute") == {"result": "clean"}
    finally:
        log = process.close()
    for text in ("a stray print", "of descriptor 1", "of a child"):
        assert log.count(text) == 2


def test_nothing_else_can_read_the_requests(plugin: PluginProcess) -> None:
    """A child that reads stdin finds it empty instead of swallowing requests."""
    assert do(plugin, "stdin") == {"result": ""}
    assert "result" in do(plugin, "none")


@pytest.mark.fault(26)
def test_a_reply_leaves_at_once() -> None:
    """Also where Python's own output is buffered."""
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(popen(PYTHONUNBUFFERED=""))
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b'{"method": "plugin.describe"}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["result"]["name"] == "acme"


@pytest.mark.fault(19)
def test_a_request_that_comes_byte_by_byte() -> None:
    """It is put together, whatever the pieces are."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    reading, writing = os.pipe()
    reader = threading.Thread(target=serving._read_lines, args=(reading, lines))
    reader.start()
    for byte in b'{"a":1}\n\n{"b":2}\nrest':
        os.write(writing, bytes([byte]))
    os.close(writing)
    reader.join()
    os.close(reading)
    found = [lines.get() for _ in range(lines.qsize())]
    assert found == [b'{"a":1}\n', b"\n", b'{"b":2}\n', b"rest", serving._END]


# --- the end --------------------------------------------------------------------------------------


def env(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **ENV, **more}


@contextlib.contextmanager
def popen(**more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A plugin with bare pipes; it must have ended with status 0 when the block ends."""
    process = subprocess.Popen(
        command_of(Acme), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env(**more)
    )
    try:
        with process:
            yield process
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def switchboard() -> Iterator[socket.socket]:
    """Where a handler that hangs connects back to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def hang_request(switchboard: socket.socket) -> bytes:
    payload = {"do": "hang", "port": switchboard.getsockname()[1]}
    return json.dumps({"method": "ticket.query", "payload": payload}).encode() + b"\n"


def assert_ends_within(line: socket.socket, seconds: float) -> None:
    """The connection of a process closes when the process is gone."""
    ready, _, _ = select.select([line], [], [], seconds)
    assert ready, f"still there after {seconds} s"
    with contextlib.suppress(ConnectionResetError):
        assert line.recv(1) == b""


def test_the_end_of_stdin_ends_an_idle_plugin() -> None:
    """With status 0, and soon."""
    with popen() as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_call_under_way_is_answered_before_the_plugin_leaves(switchboard: socket.socket) -> None:
    """A drain closes stdin and waits for the answer."""
    with popen() as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(hang_request(switchboard))
        process.stdin.close()
        line, _ = switchboard.accept()
        with line:
            line.sendall(b"x")
            assert json.loads(process.stdout.readline()) == {"result": "done"}
        assert process.stdout.read() == b""


@pytest.mark.fault(38)
def test_a_stuck_plugin_leaves_once_nobody_can_read_its_answer(
    switchboard: socket.socket,
) -> None:
    """Both pipes closed means that the gateway is gone."""
    with popen() as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(hang_request(switchboard))
        process.stdin.flush()
        line, _ = switchboard.accept()
        with line:
            process.stdin.close()
            process.stdout.close()
            assert_ends_within(line, 1.0)


GATEWAY = """
import subprocess, sys
pipe = subprocess.PIPE
plugin = subprocess.Popen(sys.argv[2:], stdin=pipe, stdout=pipe, start_new_session=True)
plugin.stdin.write(sys.argv[1].encode())
plugin.stdin.flush()
plugin.wait()
"""


@pytest.mark.fault(37)
@pytest.mark.fault(38)
@pytest.mark.parametrize("stuck", [True, False])
def test_a_plugin_leaves_when_its_gateway_is_killed(
    switchboard: socket.socket, stuck: bool
) -> None:
    """Within a second, stuck in a call or idle."""
    request = hang_request(switchboard)
    command = [sys.executable, "-c", GATEWAY, request.decode(), *command_of(Acme)]
    gateway = subprocess.Popen(command, env=env())
    try:
        line, _ = switchboard.accept()
        with line:
            if not stuck:
                line.sendall(b"x")
            gateway.send_signal(signal.SIGKILL)
            assert_ends_within(line, 1.0)
    finally:
        gateway.kill()
        gateway.wait()


def test_an_answer_that_nobody_reads_ends_the_plugin_quietly() -> None:
    """A closed stdout is no reason for a traceback."""
    process = subprocess.Popen(
        command_of(Acme),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env(),
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    with process:
        process.stdout.close()
        process.stdin.write(b'{"method": "plugin.describe"}\n')
        process.stdin.flush()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


def test_a_plugin_without_a_stderr_answers() -> None:
    """What would be logged is lost, the reply is not."""
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command_of(Acme)]
    request = b'{"method": "ticket.query", "payload": {"do": "crash"}}\n'
    done = subprocess.run(
        command, input=request, stdout=subprocess.PIPE, env=env(), timeout=60, check=True
    )
    assert json.loads(done.stdout)["error"]["code"] == "provider_error"


# --- the steps --------------------------------------------------------------------------------


@contextlib.contextmanager
def standard_streams(errors: pathlib.Path) -> Iterator[tuple[int, int]]:
    """Replace descriptors 0 to 2 and the root logger; yields the other ends of 0 and 1."""
    kept = [os.dup(n) for n in range(3)]
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    garbage = gc.get_threshold()
    stdin, stdout, stderr = os.pipe(), os.pipe(), os.open(errors, os.O_CREAT | os.O_RDWR)
    for n, descriptor in enumerate((stdin[0], stdout[1], stderr)):
        os.dup2(descriptor, n)
        os.close(descriptor)
    try:
        yield stdin[1], stdout[0]
    finally:
        for n, descriptor in enumerate(kept):
            os.dup2(descriptor, n)
            os.close(descriptor)
        root.handlers[:] = handlers
        root.setLevel(level)
        gc.set_threshold(*garbage)
        gc.unfreeze()


def test_serve_answers_until_stdin_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """In this process: two frames, and the watch leaves once the answers' reader is gone."""
    left = threading.Event()
    kept: list[int] = []
    keep = serving._keep_for_frames
    monkeypatch.setattr(serving, "_keep_for_frames", lambda *a: kept.append(keep(*a)) or kept[-1])
    monkeypatch.setattr(serving.os, "_exit", lambda status: left.set())
    monkeypatch.setenv("OPSORCH_LOG_LEVEL", "no such level")
    errors = tmp_path / "stderr"
    with standard_streams(errors) as (requests, replies):
        # A stream of Python's own, since pytest has replaced sys.stderr.
        monkeypatch.setattr(sys, "stderr", os.fdopen(os.dup(2), "w"))
        os.write(requests, b'{"method": "plugin.describe"}\n{"method": "nonsense", "id": 2}\n')
        os.close(requests)
        try:
            Acme.serve()
            logging.getLogger("opsorch.plugin").warning("one\nline\r%s", "more")
            answered = os.read(replies, 65_536).splitlines()
            early = left.is_set()
        finally:
            os.close(replies)
            assert left.wait(60)
    sys.stderr.close()
    for descriptor in kept:
        os.close(descriptor)
    assert not early
    assert json.loads(answered[0])["result"]["capability"] == "ticket"
    assert json.loads(answered[1])["error"]["code"] == "bad_request"
    assert errors.read_text() == "WARNING opsorch.plugin one\\nline\\rmore\n"


def test_the_watch_on_a_hung_call_is_bounded() -> None:
    """A reading end that stays open keeps a hung process for a while, not for ever."""
    reading, writing = os.pipe()
    began = time.monotonic()
    serving._wait_until_closed(writing, 0.05)
    assert 0.04 < time.monotonic() - began < 30
    os.close(reading)
    serving._wait_until_closed(writing, 3600)
    os.close(writing)
    assert serving._LAST_CALL_S > serving.LONGEST_CALL_S


def test_the_loop_within_this_process() -> None:
    """Blank lines are passed over; a reply that cannot be written ends the loop."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for line in (b" \n", b'{"method": "plugin.describe"}\n', serving._END, b"x\n", b"y\n"):
        lines.put(line)
    reading, writing = os.pipe()
    serving._answer_all(Dispatcher(Acme), lines, writing)
    assert json.loads(os.read(reading, 65_536))["result"]["name"] == "acme"
    os.close(reading)
    serving._answer_all(Dispatcher(Acme), lines, writing)
    os.close(writing)
    assert lines.get() == b"y\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nan", "cannot be written"),
        ("nan beside a big integer", "cannot be written"),
        ("crash", "RuntimeError"),
        ("some wait", "slow down"),
        ("unknown outcome", "lost"),
    ],
)
def test_failures_within_this_process(name: str, words: str) -> None:
    """The same answers as those of the process."""
    assert words in deed(name)["error"]["message"]


@pytest.mark.parametrize("line", [b"nonsense", b"[]", b'{"method": 1}'])
def test_bad_lines_within_this_process(line: bytes) -> None:
    """The same as in the process."""
    assert answer(line)["error"]["code"] == "bad_request"


def test_a_closed_descriptor_is_the_end() -> None:
    """Reading errors end the loop like the end of stdin."""
    reading, writing = os.pipe()
    os.close(writing)
    os.close(reading)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    serving._read_lines(reading, lines)
    assert lines.get() == serving._END

"""One process and one call: what is written, what is read, and when it is given up."""

import errno
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from opsorch.deadline import Deadline
from opsorch.errors import ReplyBroken, RpcTimeout
from opsorch.supervisor import process as module
from opsorch.supervisor.backoff import Permit
from opsorch.supervisor.child import Child, Spawner
from opsorch.supervisor.process import Process, ProcessDied, Request
from opsorch.supervisor.spec import PluginSpec
from tests.faults.support import install
from tests.processes import alive
from tests.supervisor.pooling import eventually, request

# One thread for all tests: children die with the thread that started them.
_SPAWNER = Spawner("0.0.0")

Start = Callable[..., Process]


class World:
    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.told: list[tuple[str, dict[str, object]]] = []
        self.processes: list[Process] = []

    def emit(self, event: str, /, **facts: object) -> None:
        self.told.append((event, facts))

    def start(self, *command: str, **limits: Any) -> Process:
        """Start a command, or ``sh`` with a script where it is one word with a blank."""
        if " " in command[0]:
            command = ("/bin/sh", "-c", *command)
        spec = PluginSpec("alert", command, environ={"PATH": os.environ["PATH"]}, **limits)
        child = _SPAWNER.start(spec, "1").result(20)
        process = Process(child, spec, "1", self.emit, Permit())
        self.processes.append(process)
        return process

    def script(self, name: str, **limits: Any) -> Process:
        return self.start(install(self.folder, name), **limits)


@pytest.fixture
def world(tmp_path: pathlib.Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for process in made.processes:
        process.child.kill(10)
        assert process.child.reap()
        process.child.close()


def call(process: Process, frame: bytes, timeout_s: float = 10.0) -> bytes:
    """Write a frame and return the raw result of the reply."""
    wanted = Request("alert.query", "1", lambda deadline: frame)
    return bytes(process.call(wanted, Deadline.after(timeout_s)).result)


REPLY = """echo '{"result":1}'"""
LOOP = f"while read -r line; do {REPLY}; done"


def test_calls_follow_each_other(world: World) -> None:
    process = world.start(LOOP)
    for number in range(5):
        assert process.usable()
        assert call(process, b"a\n") == b"1"
        assert process.in_step
        assert process.calls == number + 1


def test_the_frame_is_made_when_it_is_written(world: World) -> None:
    process, left = world.start(LOOP), list[float]()

    def frame(deadline: Deadline) -> bytes:
        left.append(deadline.remaining())
        return b"a\n"

    process.call(Request("m", "1", frame), Deadline.after(7.0))
    assert 6.0 < left[0] <= 7.0


def test_what_was_written_before_the_first_call_is_no_fault(world: World) -> None:
    process = world.start(f"echo hello; {LOOP}")
    assert process.usable()
    assert call(process, b"a\n") == b"1"
    assert [(event, facts["line"]) for event, facts in world.told] == [("stdout.skipped", "hello")]


def test_skipped_text_is_redacted_and_cut(world: World) -> None:
    process = world.start("true x", redact=lambda text: text.replace("s3cret", "***"))
    process.skipped(b"the token is s3cret " + b"x" * 5000)
    [(_, facts)] = world.told
    line = str(facts["line"])
    assert line.startswith("the token is *** xxx")
    assert len(line) <= 201


@pytest.mark.parametrize(
    ("lines", "shown", "dropped"),
    [(1, 1, 0), (20, 20, 0), (21, 21, 0), (1000, 21, 979)],
)
def test_a_flood_of_text_is_told_in_few_lines(
    world: World, lines: int, shown: int, dropped: int
) -> None:
    """The first ones, then the last with the number of those between."""
    process = world.start(f"read -r line; seq 1 {lines}; {REPLY}")
    assert call(process, b"a\n") == b"1"
    assert len(world.told) == shown
    assert [facts["line"] for _, facts in world.told] == [
        *(str(number + 1) for number in range(min(lines, 20))),
        *([str(lines)] if lines > 20 else []),
    ]
    assert [facts["dropped"] for _, facts in world.told][-1] == dropped
    assert sum(int(str(facts["dropped"])) + 1 for _, facts in world.told) == lines


def test_a_flood_of_text_without_a_reply_is_told_all_the_same(world: World) -> None:
    process = world.start("read -r line; exec yes")
    with pytest.raises(ReplyBroken, match="64 KiB of text"):
        call(process, b"a\n")
    assert [facts["line"] for _, facts in world.told] == ["y"] * 21
    assert world.told[-1][1]["dropped"] == 64 * 1024 // 2 - 21


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (f"read -r line; {REPLY}; exec sleep 100 >/dev/null", []),
        (f"read -r line; {REPLY}; echo more; sleep 100", ["stream.lost"]),
    ],
    ids=["stdout closed", "text"],
)
def test_a_stream_out_of_step_makes_it_unusable(world: World, script: str, told: list[str]) -> None:
    process = world.start(script)
    assert call(process, b"a\n") == b"1"
    if process.in_step:
        eventually(lambda: not process.usable())
    assert not process.usable()
    assert [event for event, _ in world.told] in (told, [])


def test_blanks_between_calls_are_no_fault(world: World) -> None:
    process = world.start(f"read -r a; {REPLY}; sleep 0.05; echo; echo ' '; {LOOP}")
    assert call(process, b"a\n") == b"1"
    assert process.usable()
    eventually(lambda: process.child.unread_bytes() == 0)
    assert call(process, b"a\n") == b"1"


def test_a_dead_process_is_unusable(world: World) -> None:
    process = world.start(LOOP)
    call(process, b"a\n")
    os.kill(process.pid, signal.SIGKILL)
    assert process.child.ended(10)
    assert not process.usable()


def test_a_stdout_that_fails_is_unusable(world: World) -> None:
    process = world.start(LOOP)
    call(process, b"a\n")
    real = process.child.stdout
    # A descriptor that cannot be read from.
    process.child.stdout = process.child.stdin
    assert not process.usable()
    process.child.stdout = real


def test_a_large_request_is_written_in_parts(world: World) -> None:
    # The pipe holds 64 KiB; the reader begins a moment later.
    process = world.start(f"sleep 0.05; read -r line; {REPLY}; {LOOP}")
    assert call(process, b"x" * 300_000 + b"\n") == b"1"
    assert process.in_step
    assert call(process, b"a\n") == b"1"


def test_an_answer_before_the_request_is_read_whole_ends_the_process(world: World) -> None:
    for size in (300_000, 1000):
        process = world.start(f"head -c 10 >/dev/null; {REPLY}; sleep 100")
        assert call(process, b"x" * size + b"\n") == b"1"
        assert not process.in_step
        assert not process.usable()


def test_a_newline_left_unread_is_no_fault(world: World) -> None:
    process = world.start(f"head -c 9 >/dev/null; {REPLY}; read -r rest; {LOOP}")
    assert call(process, b"x" * 9 + b"\n") == b"1"
    assert process.in_step


def test_one_that_closes_its_stdin_may_answer_all_the_same(world: World) -> None:
    process = world.start(f"head -c 10 >/dev/null; exec <&-; sleep 0.05; {REPLY}; sleep 100")
    assert call(process, b"x" * 300_000 + b"\n") == b"1"
    assert not process.in_step


def test_another_failure_of_writing_is_a_defect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = world.start(LOOP)

    def fail(descriptor: int, data: bytes) -> int:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "write", fail)
        with pytest.raises(OSError, match="broken"):
            call(process, b"a\n")
    assert not process.in_step


def test_a_reply_is_read_in_turns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_AT_ONCE", 1)
    process = world.script("big_reply")
    frame = b'{"id":"1","payload":2}\n'
    assert len(call(process, frame)) == 2 * 2**20 + 2


def test_a_reply_without_newline_is_seen_after_a_pause(world: World) -> None:
    process = world.start("""read -r line; printf '{"result":1}'; sleep 100""")
    began = time.monotonic()
    assert call(process, b"a\n", timeout_s=30) == b"1"
    assert time.monotonic() - began < 10


def test_pauses_grow_so_that_few_parts_are_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bool] = []
    take = module.ReplyReader.take

    def counted(self: Any, *, paused: bool = False) -> Any:
        tried.append(paused)
        return take(self, paused=paused)

    monkeypatch.setattr(module.ReplyReader, "take", counted)
    # Each part looks like an end, and a pause of 20 ms follows.
    process = world.start(
        """read -r line; printf '{"result":"'; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"""
        """ 17 18 19 20 21 22 23 24 25; do printf '}'; sleep 0.02; done; echo '"}'"""
    )
    assert call(process, b"a\n") == b'"' + b"}" * 25 + b'"'
    assert tried.count(True) < 12


def test_the_time_is_over_for_one_that_does_not_answer(world: World) -> None:
    process = world.start("read -r line; sleep 100")
    began = time.monotonic()
    with pytest.raises(RpcTimeout, match=r"'alert' did not answer alert.query within 0.1 s") as out:
        call(process, b"a\n", timeout_s=0.1)
    assert 0.1 <= time.monotonic() - began < 5
    assert "raise OPSORCH_PLUGIN_TIMEOUT" in out.value.message
    assert out.value.sent is True
    assert process.child.ended(5), "it was not killed"


def test_a_request_that_was_not_taken_was_not_sent(world: World) -> None:
    process = world.start("sleep 100")
    with pytest.raises(RpcTimeout) as out:
        call(process, b"a\n", timeout_s=0.1)
    assert out.value.sent is False


def test_a_deadline_that_has_passed_costs_no_process(world: World) -> None:
    process = world.start(LOOP)
    with pytest.raises(RpcTimeout, match="were over before the plugin of 'alert'") as out:
        call(process, b"a\n", timeout_s=0.0)
    assert out.value.sent is False
    assert process.in_step
    assert process.child.unread_bytes() == 0
    assert call(process, b"a\n") == b"1"


def test_a_deadline_that_passes_while_writing_ends_the_process(world: World) -> None:
    process = world.start(LOOP)
    times = iter([0.0])
    deadline = Deadline(1.0, 1.0, lambda: next(times, 9.0))
    with pytest.raises(RpcTimeout, match="did not answer m"):
        process.call(Request("m", "1", lambda deadline: b"a\n"), deadline)
    assert not process.in_step
    assert process.child.ended(5)


@pytest.mark.parametrize(
    ("script", "sent", "how", "words"),
    [
        ("read -r line; echo why >&2; exit 3", True, "exit status 3", "why"),
        ("echo early >&2; exit 0", False, "exit status 0", "early"),
        ("read -r line; kill -11 $$", True, "killed by SIGSEGV", ""),
        ("""read -r line; printf '{"result": 1.'; exit 4""", True, "exit status 4", ""),
        ("read -r line; sleep 100 & exit 5", True, "exit status 5", ""),
        ("read -r line; exec sleep 100 >/dev/null", True, "closed its standard output", ""),
        ("exec sleep 100 >/dev/null", False, "closed its standard output", ""),
    ],
)
def test_a_death_says_how_and_whether_the_request_was_taken(
    world: World, script: str, sent: bool, how: str, words: str
) -> None:
    process = world.start(script)
    with pytest.raises(ProcessDied) as death:
        call(process, b"a\n", timeout_s=20)
    assert (death.value.sent, death.value.how) == (sent, how)
    assert death.value.stderr == words
    assert not process.in_step
    assert process.child.ended(5)


def test_a_reply_just_before_the_end_counts(world: World) -> None:
    process = world.start("""read -r line; printf '{"result":1}'; exit 0""")
    assert call(process, b"a\n") == b"1"


def test_a_reply_before_the_request_was_taken_is_nobodys(world: World) -> None:
    process = world.start(f"{REPLY}; sleep 100")
    with pytest.raises(ProcessDied, match="a reply that no request asked for") as death:
        call(process, b"a\n")
    assert death.value.sent is False
    assert [event for event, _ in world.told] == ["stream.lost"]
    assert process.child.ended(5)


@pytest.mark.parametrize("reply", ['{"result":1,"id":"2"}', "{broken}"])
def test_a_reply_that_cannot_be_taken_is_told(world: World, reply: str) -> None:
    process = world.start(f"read -r line; echo '{reply}'; sleep 100")
    with pytest.raises(ReplyBroken, match="plugin of 'alert' cannot be understood") as broken:
        call(process, b"a\n")
    assert broken.value.sent is True
    assert not process.in_step


def test_its_memory_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = world.start("sleep 100")
    # Little at first, while it is being executed.
    eventually(lambda: 0.1 < process.resident_mb() < 100)
    process.child.kill(5)
    assert process.resident_mb() == 0.0
    process.child.reap()
    assert process.resident_mb() == 0.0


def test_stderr_is_logged_by_line(world: World) -> None:
    process = world.start("echo one >&2; echo two >&2; sleep 100")
    eventually(lambda: process.stderr.last_lines() == "one | two")
    told = [(event, facts["line"], facts["dropped"]) for event, facts in world.told]
    assert told == [("stderr.line", "one", 0), ("stderr.line", "two", 0)]


# --- the child ------------------------------------------------------------------------------------


def child_of(world: World, *command: str) -> Child:
    return world.start(*command).child


def test_a_child_is_reaped_once_and_tells_how_it_ended(world: World) -> None:
    child = child_of(world, "exit 7 #")
    assert child.ended(10)
    assert child.reap()
    assert str(child.status) == "exit status 7"
    assert child.reap()
    assert child.ended()
    # Nobody is signalled any more: the number may be another's.
    child.signal_group(signal.SIGKILL)


def test_a_child_that_lives_is_not_reaped(world: World) -> None:
    child = child_of(world, "sleep 100")
    assert not child.ended()
    assert not child.reap()
    assert child.status is None


def test_what_we_killed_was_not_out_of_memory(world: World) -> None:
    child = child_of(world, "sleep 100")
    child.kill(10)
    assert child.reap()
    assert str(child.status) == "killed by SIGKILL"


def test_a_signal_without_a_name_is_told_by_its_number(world: World) -> None:
    child = child_of(world, f"kill -{signal.SIGRTMIN + 3} $$; sleep 100")
    assert child.ended(10)
    child.reap()
    assert str(child.status) == f"killed by signal {signal.SIGRTMIN + 3}"


def test_one_that_somebody_else_reaped_has_no_known_end(world: World) -> None:
    child = child_of(world, "exit 7 #")
    assert child.ended(10)
    os.waitpid(child.pid, 0)
    child.signal_group(signal.SIGKILL)
    assert child.reap()
    assert str(child.status) == "exit status unknown"


def test_the_rest_of_the_group_ends_with_its_leader(world: World) -> None:
    process = world.start("sleep 100 & echo $! >&2; exit 0")
    assert process.child.ended(10)
    pid = int(process.stderr.last_lines())
    assert process.child.reap()
    eventually(lambda: not alive(pid))


def test_stdin_is_closed_as_the_sign_to_leave(world: World) -> None:
    child = child_of(world, "cat >/dev/null")
    child.close_stdin()
    child.close_stdin()
    assert child.ended(10)
    child.reap()
    assert str(child.status) == "exit status 0"


def test_a_child_that_cannot_be_watched_is_killed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    before = len(os.listdir("/proc/self/fd"))
    spec = PluginSpec("alert", ("/bin/sleep", "100"), environ=dict(os.environ))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pidfd_open", refuse)
        refused = _SPAWNER.start(spec, "1").exception(20)
    assert isinstance(refused, OSError)
    assert refused.errno == errno.EMFILE
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_forked_process_forgets_a_child_and_leaves_it_alone(world: World) -> None:
    process = world.start("sleep 100")
    world.processes.clear()
    process.child.abandon()
    assert process.child.reap()
    process.child.kill()
    assert os.waitpid(process.pid, os.WNOHANG) == (0, 0), "it was touched"
    os.killpg(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)


def test_a_system_without_threads_to_spare_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    spawner, spec = Spawner("0.0.0"), PluginSpec("alert", ("/bin/true",))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        refused = spawner.start(spec, "1").exception(10)
    assert isinstance(refused, OSError)
    assert refused.errno == errno.EAGAIN
    assert not spawner._started, "the next call tries again"


def test_a_spawner_passes_on_what_hinders_a_start(tmp_path: pathlib.Path) -> None:
    spec = PluginSpec("alert", ("/bin/sh",), environ={"A": "nul\0"})
    assert isinstance(_SPAWNER.start(spec, "1").exception(10), ValueError)


def test_a_spawner_starts_nothing_that_was_taken_back(world: World) -> None:
    spawner = Spawner("0.0.0")
    spawner._started = True
    spec = PluginSpec("alert", ("/bin/sh", "-c", "exit 0"), environ=dict(os.environ))
    first = spawner.start(spec, "1")
    assert first.cancel()
    # Its queue is handed to the thread of the other.
    _SPAWNER._wishes.put(spawner._wishes.get())
    world.start("exit 0 #")
    assert first.cancelled()


def test_a_reply_to_lines_is_found(world: World) -> None:
    process = world.start(
        str(pathlib.Path(__file__).parent.parent / "faults/plugins/obeys_lines.sh")
    )
    assert bytes(process.call(request("answer", "x"), Deadline.after(10)).result) == b'"x"'

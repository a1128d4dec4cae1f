"""A plugin's standard error: drained, logged by lines, its end kept."""

import os
from collections.abc import Callable, Iterator

import pytest

from opsorch.supervisor.stderr import (
    BURST_LINES,
    LINE_CHARS,
    LINES_PER_S,
    TAIL_BYTES,
    StderrDrain,
)

SECRET = "s3cret-value"


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


class Pipe:
    """A pipe whose writing end the test holds, and what the drain has logged."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.clock = Clock()
        self.lines: list[tuple[str, int]] = []
        self.drain = StderrDrain(
            self.read_end,
            lambda text: text.replace(SECRET, "***"),
            lambda line, dropped: self.lines.append((line, dropped)),
            self.clock,
        )

    def write(self, data: bytes) -> bool:
        """Write through the drain, however much it is; tells whether it goes on."""
        going = True
        while data:
            data = data[os.write(self.write_end, data[:32768]) :]
            going = self.drain.drain()
        return going

    def end(self) -> None:
        os.close(self.write_end)
        self.write_end = -1


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    for descriptor in (made.read_end, made.write_end):
        if descriptor >= 0:
            os.close(descriptor)


def test_lines_are_logged_as_they_end(pipe: Pipe) -> None:
    assert pipe.write(b"one\ntw")
    assert pipe.lines == [("one", 0)]
    assert pipe.write(b"o\n\n  \nthree\r\n")
    assert pipe.lines == [("one", 0), ("two", 0), ("three", 0)]


def test_the_last_line_needs_no_newline(pipe: Pipe) -> None:
    pipe.write(b"goodbye")
    assert pipe.lines == []
    pipe.end()
    assert not pipe.drain.drain()
    assert pipe.lines == [("goodbye", 0)]


def test_a_descriptor_that_fails_is_the_end(pipe: Pipe) -> None:
    pipe.drain._descriptor = pipe.write_end
    assert not pipe.drain.drain()


def test_a_turn_has_an_end(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []

    def endless(descriptor: int, size: int) -> bytes:
        reads.append(size)
        return b"x" * size

    monkeypatch.setattr("opsorch.supervisor.stderr.os.read", endless)
    assert pipe.drain.drain()
    assert 1 < len(reads) < 100


def test_long_lines_are_cut(pipe: Pipe) -> None:
    pipe.write(b"x" * (LINE_CHARS + 1) + b"\n" + b"y" * LINE_CHARS + b"\n" + b"z" * 100_000 + b"\n")
    assert [line for line, _ in pipe.lines] == [
        "x" * LINE_CHARS + "…",
        "y" * LINE_CHARS,
        "z" * LINE_CHARS + "…",
    ]


def test_a_long_line_of_wide_characters_is_cut(pipe: Pipe) -> None:
    pipe.write(("😀" * (LINE_CHARS + 500) + "\n").encode())
    assert pipe.lines == [("😀" * LINE_CHARS + "…", 0)]


def test_what_is_no_utf8_is_shown_all_the_same(pipe: Pipe) -> None:
    pipe.write(b"caf\xe9 \xff\n")
    assert pipe.lines == [("caf\ufffd \ufffd", 0)]


def test_lines_beyond_the_rate_are_counted_not_logged(pipe: Pipe) -> None:
    burst = int(BURST_LINES)
    pipe.write(b"x\n" * (burst + 30))
    assert len(pipe.lines) == burst
    pipe.clock.now += 2.1 / LINES_PER_S
    pipe.write(b"later\n" * 3)
    assert pipe.lines[burst:] == [("later", 30), ("later", 0)]
    pipe.clock.now += 1000
    pipe.write(b"x\n" * (burst * 2))
    assert len(pipe.lines) == burst * 2 + 2
    assert pipe.lines[burst + 2] == ("x", 1)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_no_part_of_a_secret_is_logged_wherever_a_line_is_cut(pipe: Pipe, width: int) -> None:
    wide = {1: "a", 2: "é", 4: "😀"}[width]
    for place in range(LINE_CHARS - 20, LINE_CHARS + 5):
        pipe.lines.clear()
        pipe.clock.now += 10
        pipe.write(f"{wide * place}{SECRET}{wide * 5000}\n".encode())
        [(line, _)] = pipe.lines
        assert "s3cr" not in line


def test_no_part_of_a_secret_is_left_wherever_the_tail_begins(pipe: Pipe) -> None:
    for place in range(TAIL_BYTES - 20, TAIL_BYTES * 2 + 20):
        pipe.drain._tail = b""
        pipe.drain._take(SECRET.encode() + b"b" * place)
        assert "value" not in pipe.drain.last_lines()


def test_the_last_lines_are_kept(pipe: Pipe) -> None:
    assert pipe.drain.last_lines() == ""
    pipe.write(b"".join(b"line %d\n" % number for number in range(20)))
    os.write(pipe.write_end, f"\n  \nthe token is {SECRET}, and {'x' * 400}".encode())
    last = f"the token is ***, and {'x' * 278}"
    assert pipe.drain.last_lines() == f"line 16 | line 17 | line 18 | line 19 | {last}"


def test_a_log_that_fails_does_not_stop_the_draining(pipe: Pipe) -> None:
    def fail(line: str, dropped: int) -> None:
        raise OSError("no space left")

    failing: Callable[[str, int], None] = fail
    pipe.drain._log = failing
    assert pipe.write(b"one\ntwo\n")
    assert pipe.drain.last_lines() == "one | two"

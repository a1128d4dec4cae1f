"""The keeper: one thread that watches descriptors and the clock."""

import functools
import os
import threading
import time
from collections.abc import Iterator

import pytest

from opsorch.supervisor.keeper import Keeper


class Watched(Keeper):
    """A keeper whose defects are kept, and that ends with its test."""

    def __init__(self) -> None:
        self.defects: list[BaseException] = []
        super().__init__(self.defects.append)
        self.over = threading.Event()

    def _serve(self) -> None:
        while not self.over.is_set():
            self._guarded(self._turn)


@pytest.fixture
def keeper() -> Iterator[Watched]:
    made = Watched()
    yield made
    if made._started:
        ended = threading.Event()
        made.over.set()
        made.soon(ended.set)
        assert ended.wait(10)
        for thread in threading.enumerate():
            if thread.name == "opsorch-keeper" and getattr(thread, "_target", None) == made._serve:
                thread.join(10)
    made.abandon()


def test_no_thread_runs_before_there_is_work(keeper: Watched) -> None:
    assert not keeper._started


def test_work_runs_in_order_on_one_thread_of_its_own(keeper: Watched) -> None:
    seen: list[tuple[int, str]] = []
    done = threading.Event()

    def note(number: int) -> None:
        seen.append((number, threading.current_thread().name))

    for number in range(100):
        keeper.soon(functools.partial(note, number))
    keeper.soon(done.set)
    assert done.wait(10)
    assert [number for number, _ in seen] == list(range(100))
    assert {name for _, name in seen} == {"opsorch-keeper"}


def test_due_work_runs_at_its_time_and_in_its_order(keeper: Watched) -> None:
    seen: list[str] = []
    done = threading.Event()
    began = time.monotonic()
    keeper.later(0.3, lambda: (seen.append("last"), done.set()))
    keeper.later(0.1, lambda: seen.append("second"))
    keeper.later(0.1, lambda: seen.append("third"))
    keeper.later(0.0, lambda: seen.append("first"))
    assert done.wait(10)
    assert time.monotonic() - began >= 0.3
    assert seen == ["first", "second", "third", "last"]


def test_a_defect_is_told_and_ends_nothing(keeper: Watched) -> None:
    def fail() -> None:
        raise ValueError("a defect")

    done = threading.Event()
    keeper.soon(fail)
    keeper.later(0.0, fail)
    keeper.later(0.01, done.set)
    assert done.wait(10)
    assert [str(defect) for defect in keeper.defects] == ["a defect", "a defect"]


def test_a_descriptor_is_watched_until_it_is_not(keeper: Watched) -> None:
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    seen: list[bytes] = []
    came, ended = threading.Event(), threading.Event()

    def read() -> None:
        seen.append(os.read(read_end, 100))
        came.set()

    keeper.soon(lambda: keeper.watch(read_end, read))
    os.write(write_end, b"one")
    assert came.wait(10)
    came.clear()
    os.write(write_end, b"two")
    assert came.wait(10)
    keeper.soon(lambda: keeper.unwatch(read_end))
    # Twice, and of one that was never watched, does no harm.
    keeper.soon(lambda: keeper.unwatch(read_end))
    keeper.soon(lambda: keeper.unwatch(-1))
    keeper.soon(ended.set)
    assert ended.wait(10)
    came.clear()
    os.write(write_end, b"three")
    ended.clear()
    keeper.soon(ended.set)
    assert ended.wait(10)
    assert not came.is_set()
    assert seen == [b"one", b"two"]
    assert keeper.defects == []
    os.close(read_end)
    os.close(write_end)


def test_a_full_pipe_of_wake_ups_loses_no_work(keeper: Watched) -> None:
    gate, done = threading.Event(), threading.Event()
    keeper.soon(functools.partial(gate.wait, 30))
    counted: list[int] = []
    # More than the pipe holds.
    for number in range(70_000):
        keeper.soon(functools.partial(counted.append, number))
    gate.set()
    keeper.soon(done.set)
    assert done.wait(30)
    assert len(counted) == 70_000
    assert keeper.defects == []

"""The bound on the calls of one capability."""

import threading

import pytest

from opsorch.errors import PluginBusy
from opsorch.providers.admission import RETRY_AFTER_S, Admission
from tests.faults.support import together


def test_the_next_one_is_refused_at_once_and_told_what_to_raise() -> None:
    admission = Admission("alert", 2)
    with admission, admission:
        with pytest.raises(PluginBusy, match="raise OPSORCH_ALERT_MAX_CONCURRENCY") as busy:
            admission.__enter__()
        assert "2 calls of 'alert' are in flight or waiting already" in busy.value.message
        assert busy.value.retry_after_s == RETRY_AFTER_S
        assert busy.value.sent is False
    with admission, admission:
        pass


def test_a_call_that_fails_leaves_its_place() -> None:
    admission = Admission("alert", 1)
    for _ in range(3):
        with pytest.raises(ValueError, match="for the test"), admission:
            raise ValueError("for the test")
    with admission:
        pass


def test_a_refused_call_takes_no_place() -> None:
    admission = Admission("alert", 1)
    with admission:
        for _ in range(5):
            with pytest.raises(PluginBusy):
                admission.__enter__()
    with admission:
        pass
    assert admission._inside == 0


def test_never_more_than_allowed_are_inside() -> None:
    admission, lock, inside, most = Admission("alert", 3), threading.Lock(), [0], [0]
    all_tried = threading.Barrier(20)

    def call(number: int) -> str:
        try:
            with admission:
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                all_tried.wait(30)
                with lock:
                    inside[0] -= 1
                return "served"
        except PluginBusy:
            all_tried.wait(30)
            return "refused"

    assert sorted(map(str, together(20, call))) == ["refused"] * 17 + ["served"] * 3
    assert most[0] == 3
    assert admission._inside == 0

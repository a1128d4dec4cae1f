"""A plugin as a provider: what is sent, and the rule for trying again."""

import json
import os
import pathlib
import threading
from typing import Any

import pytest

from opsorch.deadline import Deadline
from opsorch.errors import PluginCrashed, PluginStartFailed, ReportedError
from opsorch.providers.base import CallContext
from opsorch.providers.supervised import SupervisedProvider
from opsorch.supervisor.pool import Lease, Pool
from opsorch.supervisor.process import ProcessDied, Request
from opsorch.supervisor.spec import PluginSpec
from tests.faults.conftest import rig
from tests.faults.support import Rig, eventually, install

__all__ = ["rig"]


# --- the frame ------------------------------------------------------------------------------------


def seen(folder: pathlib.Path, config: dict[str, Any], context: CallContext) -> dict[str, Any]:
    """The request that a call makes, decoded; its process is never started."""
    frames: list[bytes] = []

    class Noted(SupervisedProvider):
        def _frame(self, *words: Any) -> Any:
            make = super()._frame(*words)
            frames.append(make(context.deadline))
            return make

    pool = Pool(
        PluginSpec("alert", (str(folder / "nowhere"),)),
        None,
        None,
        lambda event, /, **facts: None,
    )
    provider = Noted("label", "alert", config, pool, lambda event, /, **facts: None)
    with pytest.raises(Exception, match="no file"):
        provider.call("alert.query", b'{"a":"\xc3\xa9"}', context, repeatable=True)
    [frame] = frames
    assert frame.endswith(b"}\n")
    assert frame.count(b"\n") == 1
    return dict(json.loads(frame))


def test_a_frame_carries_everything(tmp_path: pathlib.Path) -> None:
    context = CallContext(Deadline.after(5), 'id"1', "mé", "00-aa-bb-01")
    request = seen(tmp_path, {"token": "t\n", "n": [1]}, context)
    left = request["context"].pop("timeoutMs")
    assert isinstance(left, int)
    assert 4000 < left <= 5000
    assert request == {
        "method": "alert.query",
        "config": {"token": "t\n", "n": [1]},
        "payload": {"a": "é"},
        "context": {"requestId": 'id"1', "actor": "mé", "traceparent": "00-aa-bb-01"},
        "id": "1",
    }


def test_a_frame_without_a_trace_has_none(tmp_path: pathlib.Path) -> None:
    request = seen(tmp_path, {}, CallContext(Deadline.after(0)))
    assert request["context"] == {"requestId": "", "actor": "", "timeoutMs": 0}


def test_every_request_has_an_id_of_its_own(rig: Rig) -> None:
    provider = rig.provider("writes")
    asked = {"pieces": ['{"result":"ID"}\n'], "pause_s": 0}
    assert [rig.call(provider, asked) for _ in range(3)] == ["1", "2", "3"]


def test_an_error_is_redacted(rig: Rig) -> None:
    provider = rig.provider("writes", redact=lambda text: text.replace("s3cret", "***"))
    error = rig.refused(provider, {"pieces": ['{"error":"no s3cret"}\n'], "pause_s": 0})
    assert isinstance(error, ReportedError)
    assert error.message == "no ***"


# --- the rule for trying again --------------------------------------------------------------------


class Ends:
    """A pool's place in the rule, and that of its starts: notes what it is told."""

    def __init__(self) -> None:
        self.starts = self
        self.deaths = 0

    def died_in_call(self, process: Any, death: ProcessDied) -> None:
        self.deaths += 1

    def on_trial(self, process: "LentProcess") -> bool:
        return process.tried

    def failed(self, reason: str, stderr: str = "") -> PluginStartFailed:
        return PluginStartFailed(f"{reason} {stderr}")


class LentProcess:
    pid = 7

    def __init__(self, tried: bool) -> None:
        self.tried = tried


def verdict(repeatable: bool, *deaths: str) -> tuple[str, int]:
    """What comes of a call whose processes die so: words of fresh or idle, sent or unsent."""
    told: list[str] = []
    pool = Ends()

    def emit(event: str, /, **facts: object) -> None:
        told.append(event)

    from opsorch.providers.supervised import _Attempts

    request = Request("alert.query", "1", lambda deadline: b"")
    attempts = _Attempts(pool, "alert", emit, request, repeatable=repeatable)
    for place, death in enumerate(deaths):
        words = death.split()
        lease = Lease(pool, LentProcess("trial" in words), fresh="idle" not in words)
        died = ProcessDied(sent="sent" in words, how="exit status 3", stderr="why")
        try:
            attempts.note(lease, died)
        except (PluginCrashed, PluginStartFailed) as error:
            told_all = (
                place == len(deaths) - 1,
                error.__cause__ is died,
                "exit status 3" in error.message,
                "why" in error.message,
            )
            if not all(told_all):
                return f"badly told: {told_all}", pool.deaths
            words = [error.code, "sent" * error.sent, "told" * ("may have" in error.message)]
            return ", ".join(word for word in words if word), pool.deaths
    assert told.count("call.retried") == len(deaths)
    return "tried again", pool.deaths


AGAIN = "tried again"


@pytest.mark.parametrize(
    ("repeatable", "deaths", "outcome", "counted"),
    [
        # A read.
        (True, ["idle unsent"], AGAIN, 0),
        (True, ["idle sent"], AGAIN, 1),
        (True, ["sent"], AGAIN, 1),
        (True, ["unsent"], AGAIN, 0),
        (True, ["idle sent", "sent"], "plugin_crashed, sent", 2),
        (True, ["sent", "sent"], "plugin_crashed, sent", 2),
        (True, ["unsent", "unsent"], "plugin_start_failed", 0),
        (True, ["idle unsent", "unsent"], AGAIN, 0),
        (True, ["idle unsent", "unsent", "unsent"], "plugin_start_failed", 0),
        (True, ["idle unsent", "sent", "sent"], "plugin_crashed, sent", 2),
        (True, ["idle unsent", "sent"], AGAIN, 1),
        (True, ["unsent", "sent"], "plugin_crashed, sent", 1),
        (True, ["sent", "unsent"], "plugin_crashed, sent", 1),
        (True, ["idle sent", "unsent"], AGAIN, 1),
        (True, ["idle sent", "unsent", "unsent"], "plugin_start_failed", 1),
        # A write: sent once.
        (False, ["idle unsent"], AGAIN, 0),
        (False, ["unsent"], AGAIN, 0),
        (False, ["idle sent"], "plugin_crashed, sent, told", 1),
        (False, ["sent"], "plugin_crashed, sent, told", 1),
        (False, ["unsent", "sent"], "plugin_crashed, sent, told", 1),
        (False, ["unsent", "unsent"], "plugin_start_failed", 0),
        (False, ["idle unsent", "unsent", "sent"], "plugin_crashed, sent, told", 1),
        # The try of a breaker that is half-open has one start.
        (True, ["trial unsent"], "plugin_start_failed", 0),
        (False, ["trial unsent"], "plugin_start_failed", 0),
        (True, ["trial sent"], AGAIN, 1),
    ],
)
def test_a_death_is_met_by_the_rule(
    repeatable: bool, deaths: list[str], outcome: str, counted: int
) -> None:
    assert verdict(repeatable, *deaths) == (outcome, counted)


def test_a_read_is_answered_by_the_next_process(rig: Rig, tmp_path: pathlib.Path) -> None:
    provider = rig.provider("dies")
    assert rig.call(provider, {"how": "exit", "once": str(tmp_path / "done")})["pid"]


def test_a_crash_without_last_words_has_none(rig: Rig) -> None:
    error = rig.refused(rig.provider("dies"), {"how": "exit"}, repeatable=False)
    assert error.message.endswith("may have acted all the same: look before you repeat it.")


# --- health ---------------------------------------------------------------------------------------


def test_health_is_told_without_starting_anything(rig: Rig) -> None:
    provider = rig.provider("echo", pool_size=3)
    states = {"starting": 0, "idle": 0, "busy": 0, "draining": 0}
    pool = {"size": 3, **states, "waiting": 0, "breaker": "closed"}
    assert provider.health() == {"ready": True, "pool": pool}
    rig.call(provider)
    assert provider.health() == {"ready": True, "pool": {**pool, "idle": 1}}
    os.unlink(provider.pool.spec.command[0])
    provider.drain()
    eventually(lambda: provider.pool.over)
    told = provider.health()
    assert told["ready"] is False
    assert "OPSORCH_ALERT_PLUGIN" in told["reason"]
    assert len(rig.events.named("process.started")) == 1


def test_a_drained_provider_serves_who_is_late(rig: Rig) -> None:
    provider = rig.provider("echo")
    provider.drain()
    assert rig.call(provider, 1)["payload"] == 1
    eventually(lambda: provider.pool.over)


def test_calls_of_many_threads_are_served(rig: Rig) -> None:
    install(rig.folder, "echo")
    provider, wrong = rig.provider("echo", pool_size=3, queue_timeout_s=30), list[int]()

    def call(number: int) -> None:
        for turn in range(20):
            if rig.call(provider, [number, turn])["payload"] != [number, turn]:
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert rig.events.metric("opsorch_plugin_starts_total") <= 3

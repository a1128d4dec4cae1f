"""Mixed load with faults: calls that know what they asked for, and kills from outside.

Each call carries a token that its answer must carry back, so that no caller can get another's
answer unnoticed. A fault is asked for by the call itself, in its metadata.
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.plugin import FAULTS
from bench.rig import Client, Reply, Rig
from tests.processes import children

Json = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of call.

    Attributes:
        weight: Share among all kinds.
        body: Makes the body of token and metadata; None: it has none, and asks for no fault.
        told: Finds the token in the answer.
    """

    method: str
    write: bool
    weight: int
    verb: str
    path: str
    body: Callable[[str, Json], Json] | None
    told: Callable[[Any], Any]


KINDS = (
    Kind(
        "incident.query",
        False,
        20,
        "POST",
        "/incidents/query",
        lambda token, metadata: {"query": token, "metadata": metadata},
        lambda answer: answer[0]["id"],
    ),
    Kind("incident.get", False, 10, "GET", "/incidents/{token}", None, lambda answer: answer["id"]),
    Kind(
        "incident.create",
        True,
        10,
        "POST",
        "/incidents",
        lambda token, metadata: {"title": token, "metadata": metadata},
        lambda answer: answer["title"],
    ),
    Kind(
        "incident.update",
        True,
        10,
        "PATCH",
        "/incidents/{token}",
        lambda token, metadata: {"title": token, "metadata": metadata},
        lambda answer: answer["title"],
    ),
    Kind(
        "alert.query",
        False,
        20,
        "POST",
        "/alerts/query",
        lambda token, metadata: {"query": token, "metadata": metadata},
        lambda answer: answer[0]["id"],
    ),
    Kind(
        "log.query",
        False,
        20,
        "POST",
        "/logs/query",
        lambda token, metadata: {"expression": {"search": token}, "metadata": metadata},
        lambda answer: answer["entries"][0]["message"],
    ),
    Kind(
        "log.query",
        False,
        2,
        "POST",
        "/logs/query",
        lambda token, metadata: {
            "expression": {"search": token},
            "metadata": {"bench": {"entries": 1000, **metadata.get("bench", {})}},
        },
        lambda answer: answer["entries"][0]["message"],
    ),
    Kind(
        "messaging.send",
        True,
        10,
        "POST",
        "/messages/send",
        lambda token, metadata: {"channel": token, "body": token, "metadata": metadata},
        lambda answer: answer["id"],
    ),
)
_ASKING = tuple(kind for kind in KINDS if kind.body is not None)
# By whether it is a write. A read is tried a second time, so that its plugin would crash twice; a
# third death in a row stops all starts for a moment, on purpose, and calls without a fault with it.
_FAULTS = {
    False: tuple(fault for fault in FAULTS if fault != "crash"),
    True: tuple(fault for fault in FAULTS if fault != "crash_once"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made.

    Attributes:
        fault: What it asked for, "" for none.
        began, ended: Monotonic seconds.
        mistaken: It succeeded with an answer that is not its own.
    """

    kind: Kind
    token: str
    fault: str
    status: int
    code: str
    began: float
    ended: float
    unknown: bool
    mistaken: bool
    body: bytes

    @property
    def failed(self) -> bool:
        """Tell whether it did not succeed."""
        return not 200 <= self.status < 300


@dataclass(frozen=True)
class Load:
    """How much of everything.

    Attributes:
        rate: Calls a second, of all clients together.
        clients: Connections.
        fault_share: Share of the calls that ask for a fault.
        kills_per_s: Plugin processes killed a second, from outside.
    """

    rate: float
    clients: int
    fault_share: float
    kills_per_s: float


class Traffic:
    """Callers and a killer, for one phase of load."""

    def __init__(self, rig: Rig, load: Load) -> None:
        self._rig = rig
        self._load = load
        self.calls: list[Call] = []
        self.kills: list[float] = []

    def run(self, seconds: float, phase: str) -> None:
        """Make load for so long; returns when every call has its answer."""
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._call_until, args=(end, f"{phase}-{number}"))
            for number in range(self._load.clients)
        ]
        threads.append(threading.Thread(target=self._kill_until, args=(end,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _call_until(self, end: float, name: str) -> None:
        dice = random.Random(name)
        at = time.monotonic()
        with Client(self._rig.port) as client:
            number = 0
            while True:
                # Calls come at random moments; who fell behind after a hang does not catch up.
                at = max(at, time.monotonic() - 1) + dice.expovariate(
                    self._load.rate / self._load.clients
                )
                if at >= end:
                    return
                time.sleep(max(0.0, at - time.monotonic()))
                number += 1
                faulty = dice.random() < self._load.fault_share
                kinds = _ASKING if faulty else KINDS
                kind = dice.choices(kinds, [kind.weight for kind in kinds])[0]
                fault = dice.choice(_FAULTS[kind.write]) if faulty else ""
                self.calls.append(make_call(client, kind, f"{name}-{number}", fault))

    def _kill_until(self, end: float) -> None:
        dice = random.Random("kill")
        while self._load.kills_per_s and time.monotonic() < end:
            time.sleep(dice.uniform(0.5, 1.5) / self._load.kills_per_s)
            plugins = self._rig.plugins()
            if plugins and _kill(dice.choice(plugins), self._rig.workers()):
                self.kills.append(time.monotonic())


def make_call(client: Client, kind: Kind, token: str, fault: str) -> Call:
    """Make one call and look at its answer."""
    metadata: Json = {"bench": {"fault": fault}} if fault else {}
    body: Mapping[str, Any] | None = kind.body(token, metadata) if kind.body else None
    began = time.monotonic()
    reply = client.call(kind.verb, kind.path.format(token=token), body)
    ended = time.monotonic()
    good = 200 <= reply.status < 300
    return Call(
        kind=kind,
        token=token,
        fault=fault,
        status=reply.status,
        code=reply.code,
        began=began,
        ended=ended,
        unknown=not good and _outcome(reply) == "unknown",
        mistaken=good and not _is_own(kind, token, reply),
        body=b"" if good else reply.body[:500],
    )


def _outcome(reply: Reply) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        return str(reply.json.get("outcome", ""))
    return ""


def _is_own(kind: Kind, token: str, reply: Reply) -> bool:
    try:
        return bool(kind.told(reply.json) == token)
    except (ValueError, KeyError, IndexError, TypeError):
        return False


def _kill(pid: int, workers: list[int]) -> bool:
    """Kill a plugin from outside; a number that is another process's by now is left alone."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not any(pid in children(worker) for worker in workers):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(pidfd)

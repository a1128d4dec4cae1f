"""A provider that behaves and misbehaves as its payload says."""

import dataclasses
import math
import os
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from opsorch.plugin import (
    TIMEOUT,
    BadRequest,
    Call,
    Check,
    ConfigSpec,
    Field,
    NotFound,
    Provider,
    ProviderError,
    RateLimited,
    rpc,
)
from opsorch.plugin.config import url
from opsorch.plugin.testing import PluginProcess, command_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENV = {"PYTHONPATH": str(ROOT)}

Json = dict[str, Any]

LIFELINES: list[socket.socket] = []


@dataclasses.dataclass
class Sample:
    """What the encoder takes beside the types of JSON."""

    value: float


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


class Acme(Provider):
    """Answers ``ticket.get`` with what it was called with, and ``ticket.query`` by ``do``."""

    name = "acme"
    capability = "ticket"
    config = ConfigSpec(
        "acme", (Field("token", secret=True), Field("url", url(userinfo=True)), TIMEOUT)
    )

    def check(self, call: Call) -> list[Check]:
        token = self.settings["token"]
        if token is None:
            raise ProviderError("no token")
        return [Check("upstream", ok=len(token.reveal()) > 8, message=f"with {token.reveal()}")]

    @rpc("ticket.get")
    def get(self, payload: Json, call: Call) -> Any:
        return {
            "payload": payload,
            "requestId": call.request_id,
            "actor": call.actor,
            "traceparent": call.traceparent,
            "seconds": call.deadline.timeout_s,
        }

    @rpc("ticket.query")
    def query(self, payload: Json, call: Call) -> Any:
        return DEEDS[payload["do"]](self, payload)


def raises(error: BaseException) -> Callable[[Acme, Json], NoReturn]:
    def deed(provider: Acme, payload: Json) -> NoReturn:
        raise error

    return deed


def raise_token(provider: Acme, payload: Json) -> NoReturn:
    raise ProviderError(f"refused: {provider.settings['token'].reveal()}")


def crash_with_token(provider: Acme, payload: Json) -> NoReturn:
    raise RuntimeError(f"no luck with {provider.settings['token'].reveal()}")


def pollute(provider: Acme, payload: Json) -> str:
    print("a stray print")
    sys.stdout.flush()
    os.write(1, b'{"result": "of descriptor 1"}\n')
    subprocess.run(["echo", "of a child"], check=True)
    return "clean"


def read_stdin(provider: Acme, payload: Json) -> str:
    child = subprocess.run(["cat"], stdout=subprocess.PIPE, check=True)
    return child.stdout.decode() + sys.stdin.read()


def flood(provider: Acme, payload: Json) -> str:
    sys.stderr.write("x" * payload["bytes"])
    sys.stderr.flush()
    return "flooded"


def hang(provider: Acme, payload: Json) -> str:
    """Connect back for the life of the process, and wait for a byte; without one for ever."""
    line = socket.create_connection(("127.0.0.1", payload["port"]))
    LIFELINES.append(line)
    if not line.recv(1):
        threading.Event().wait()
    return "done"


DEEDS: dict[str, Callable[[Acme, Json], Any]] = {
    "nan": lambda p, _: [{"title": None, "points": [1.0, math.nan]}],
    "infinity": lambda p, _: {"value": -math.inf},
    "nan in a class": lambda p, _: {"sample": Sample(math.nan), "none": None},
    "nan beside a big integer": lambda p, _: {"value": (math.nan,), "big": 10**30},
    "none": lambda p, _: {"value": None, "big": 10**30, "float": 1.5, "text": "\u02ff\u00ff"},
    "bytes like nan": lambda p, _: {"none": None, "bytes": b"\xcb\x7f\xf8"},
    "surrogate": lambda p, _: {"title": "\ud800"},
    "not json": lambda p, _: {"title": object()},
    "deep": lambda p, payload: nested(payload["depth"]),
    "big": lambda p, payload: ["x" * 1000] * payload["count"],
    "secret": lambda p, _: {"token": p.settings["token"]},
    "raise token": raise_token,
    "crash": crash_with_token,
    "exit": raises(SystemExit(3)),
    "recurse": raises(RecursionError()),
    "odd message": raises(NotFound("ticket \ud800 is unknown")),
    "no message": raises(BadRequest(ValueError("an error for a message"))),  # type: ignore[arg-type]  # on purpose
    "long wait": raises(RateLimited("slow down", retry_after_s=1e300)),
    "endless wait": raises(RateLimited("slow down", retry_after_s=math.inf)),
    "some wait": raises(RateLimited("slow down", retry_after_s=1.2)),
    "unknown outcome": raises(ProviderError("lost", outcome_unknown=True)),
    "pollute": pollute,
    "stdin": read_stdin,
    "flood": flood,
    "hang": hang,
}


def start() -> PluginProcess:
    """Start this provider as a plugin."""
    return PluginProcess(command_of(Acme), ENV)

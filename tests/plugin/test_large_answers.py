"""What makes large answers cheap: typed decoding, and few looks for garbage."""

import gc
from typing import Any

import msgspec
import pytest

from opsorch.errors import ProviderError
from opsorch.plugin import Call, ConfigSpec, Provider, rpc
from opsorch.plugin.reply import Reply
from opsorch.plugin.serve import GARBAGE_THRESHOLD
from opsorch.plugin.testing import run_plugin
from tests.plugin.acme import ENV


class Thing(msgspec.Struct):
    name: str


DECODER = msgspec.json.Decoder(Thing)


class Collector(Provider):
    """Tells how seldom its process looks for garbage."""

    name = "collector"
    capability = "log"
    config = ConfigSpec("collector", ())

    @rpc("log.query")
    def query(self, payload: Any, call: Call) -> Any:
        return {"threshold": gc.get_threshold()[0], "frozen": gc.get_freeze_count()}


def reply(body: str) -> Reply:
    return Reply(200, {"Content-Type": "text/odd"}, body.encode(), "http://h")


def test_a_body_is_decoded_into_a_type() -> None:
    """Half a surrogate pair is mended there, too."""
    assert reply('{"name": "x", "more": [1]}').json_as(DECODER) == Thing("x")
    assert reply('{"name": "cut \\ud83d"}').json_as(DECODER) == Thing("cut �")


def test_json_of_another_form_is_told_from_no_json() -> None:
    """The adapter knows what the form means."""
    with pytest.raises(msgspec.ValidationError):
        reply('{"name": 5}').json_as(DECODER)
    with pytest.raises(ProviderError, match=r"not JSON \(text/odd\)"):
        reply("<html>").json_as(DECODER)


def test_a_plugin_process_seldom_looks_for_garbage() -> None:
    """What was loaded before the first call is never looked at again."""
    with run_plugin(Collector, ENV) as process:
        result = process.call("log.query", {})["result"]
    assert result["threshold"] == GARBAGE_THRESHOLD
    assert result["frozen"] > 1000

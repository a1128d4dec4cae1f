"""A process that serves all ten demo providers: what a gateway with in-process adapters is.

One frame a line, as the plugin protocol has it; ``payloads`` asks for one call after the other.
"""

import json
import sys
from typing import Any

from opsorch.errors import OpsOrchError
from opsorch.plugin import Call
from opsorch.plugin.provider import Dispatcher
from opsorch_plugins.demo import provider as providers

DISPATCHERS = {
    method: dispatcher
    for name in providers.__all__
    for dispatcher in [Dispatcher(getattr(providers, name))]
    for method in dispatcher.provider_class.handlers
}


def answer(frame: dict[str, Any]) -> dict[str, Any]:
    dispatcher = DISPATCHERS[frame["method"]]
    many = frame["payload"].pop("payloads", None)
    asked = [frame["payload"]] if many is None else many
    try:
        found = [
            dispatcher.call(frame["method"], frame["config"], payload, Call(actor="kim"))
            for payload in asked
        ]
    except OpsOrchError as error:
        return {"error": {"code": error.code, "message": error.message}}
    return {"result": found[0] if many is None else found}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)

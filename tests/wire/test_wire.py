"""The recorded wire cases against a gateway with a canned plugin behind every capability."""

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from opsorch.capabilities import CAPABILITIES
from tests.harness import Gateway, running_gateway
from tests.wire import check_wire

HERE = pathlib.Path(__file__).parent
CASES = json.loads((HERE / "wire.json").read_text())
PLUGIN = HERE / "canned_plugin.py"


def wire_env(folder: pathlib.Path) -> dict[str, str]:
    env = {}
    for name in CAPABILITIES:
        env[f"OPSORCH_{name.upper()}_PLUGIN"] = str(PLUGIN)
        config = {"dir": str(folder), "token": f"t-{name}"}
        env[f"OPSORCH_{name.upper()}_CONFIG"] = json.dumps(config)
    return env


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("canned")


@pytest.fixture(scope="module")
def gateway(folder: pathlib.Path) -> Iterator[Gateway]:
    with running_gateway(wire_env(folder)) as running:
        yield running


def test_there_are_as_many_cases_as_were_recorded() -> None:
    assert len(CASES) == 444


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case(case: dict[str, Any], gateway: Gateway, folder: pathlib.Path) -> None:
    log = folder / "seen.jsonl"
    log.unlink(missing_ok=True)
    (folder / "reply.json").write_text(json.dumps(case["plugin_reply"]))
    status, headers, body, raw = check_wire.send(gateway.url, case["request"], None)
    seen = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    assert not list(check_wire.differences(case, status, headers, body, raw, seen))


def test_several_workers_and_a_token_change_nothing(tmp_path: pathlib.Path) -> None:
    env = {**wire_env(tmp_path), "OPSORCH_WORKERS": "3", "OPSORCH_BEARER_TOKEN": "a-token"}
    with running_gateway(env) as running:
        options = ["--base-url", running.url, "--dir", str(tmp_path), "--token", "a-token"]
        done = subprocess.run(
            [sys.executable, check_wire.__file__, *options],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.splitlines()[-1] == "444 passed, 0 failed", done.stdout[-3000:]
    assert done.returncode == 0

"""Faults 58 and 60: a machine that grants little, and settings that change under load."""

import dataclasses
import json
import os
import pathlib
import threading
from typing import Any

import pytest

from opsorch.config import CapabilitySettings, Settings
from opsorch.deadline import Deadline
from opsorch.errors import InvalidConfig, OpsOrchError, PluginNotFound
from opsorch.providers.base import CallContext
from opsorch.providers.registry import Registry
from tests.faults.gateways import (
    alive,
    hold,
    metric,
    other_gateway,
    plugins,
    told,
    unshared,
    workers,
)
from tests.faults.support import Rig, eventually, install, together

# The folder of the test stands at /srv, read-only like all the rest. Temporary files have a place
# of their own: the project itself may stand under /tmp.
READ_ONLY = """
set -e
mount --make-rprivate /
mount --bind "$1" /srv
mount -t tmpfs -o noexec tmpfs /media
export TMPDIR=/media
mount -t tmpfs tmpfs /dev/shm
mount -o remount,bind,ro /srv
mount -o remount,bind,ro /
cd /srv
shift
unset HOME XDG_STATE_HOME
if touch /opt/touched 2>/dev/null; then exit 99; fi
exec "$@"
"""


@pytest.mark.fault(58)
def test_a_read_only_root_is_enough(tmp_path: pathlib.Path) -> None:
    install(tmp_path, "obeys")
    behind = [*unshared("--mount"), "sh", "-c", READ_ONLY, "sh", str(tmp_path)]
    env = {"OPSORCH_ALERT_PLUGIN": "/srv/obeys", "OPSORCH_WORKERS": "2"}
    with other_gateway(env, tmp_path, behind=behind) as gateway:
        answers = [gateway.request("POST", "/alerts/query", {}) for _ in range(4)]
        assert [answer.status for answer in answers] == [200] * 4
        eventually(lambda: told(gateway, "process.started"))
        assert metric(gateway, "opsorch_plugin_starts_total") >= 1
        (root,) = {os.readlink(f"/proc/{pid}/cwd") for pid in workers(gateway)}
        assert root == "/srv"
        everything = workers(gateway) | plugins(gateway)
    assert gateway.process.returncode == 0
    assert not any(map(alive, everything))
    assert "Traceback" not in gateway.log()
    assert "Read-only" not in gateway.log()
    for level in ("error", "warning"):
        assert f'"level":"{level}"' not in gateway.log()
    assert told(gateway, "gateway.stopped", clean=True)


def alerts(rig: Rig, **env: str) -> Settings:
    return Settings.from_env({"PATH": os.environ["PATH"], **env})


def named(rig: Rig, name: str) -> CapabilitySettings:
    """Settings of the alerts whose plugin answers with this name."""
    return alerts(
        rig,
        OPSORCH_ALERT_PLUGIN=install(rig.folder, "obeys"),
        OPSORCH_ALERT_CONFIG=json.dumps({"name": name}),
    ).capabilities["alert"]


def registry_of(rig: Rig, first: CapabilitySettings) -> Registry:
    settings = alerts(rig)
    capabilities = {**settings.capabilities, "alert": first}
    return Registry(
        dataclasses.replace(settings, capabilities=capabilities), rig.supervisor, rig.events
    )


def ask(registry: Registry, **orders: Any) -> str:
    payload = json.dumps({"metadata": orders}).encode()
    context = CallContext(Deadline.after(20.0))
    slot = registry["alert"]
    raw = slot.provider.call("alert.query", payload, context, repeatable=True)
    title: str = json.loads(bytes(raw))[0]["title"]
    return title


@pytest.mark.fault(60)
def test_a_configuration_that_changes_under_load_fails_no_call(rig: Rig) -> None:
    registry = registry_of(rig, named(rig, "0"))
    over = threading.Event()

    def call_on(number: int) -> list[int]:
        if number:
            seen = []
            while not over.is_set():
                seen.append(int(ask(registry)))
            return seen
        for name in range(1, 21):
            registry.replace(named(rig, str(name)))
            # A call that begins now must see it.
            assert ask(registry) == str(name)
        over.set()
        return [20]

    for seen in together(4, call_on):
        assert isinstance(seen, list), seen
        assert seen == sorted(seen), "an old configuration answered after a new one"
    assert ask(registry) == "20"
    registry["alert"].provider.drain()
    eventually(lambda: rig.events.metric("opsorch_plugin_starts_total") == _exited(rig))
    assert _exited(rig) >= 20
    rig.events.tell("process.started", "opsorch_plugin_starts_total", _exited(rig))
    assert not rig.events.named("process.died")


def _exited(rig: Rig) -> int:
    return len(rig.events.named("process.exited"))


@pytest.mark.fault(60)
def test_a_call_under_way_finishes_on_the_old_configuration(rig: Rig) -> None:
    registry = registry_of(rig, named(rig, "old"))
    with hold() as held:
        answers: list[str] = []
        caller = threading.Thread(target=lambda: answers.append(ask(registry, hold=held.port)))
        caller.start()
        pid = held.arrived()
        registry.replace(named(rig, "new"))
        assert ask(registry) == "new"
        assert alive(pid)
        held.release()
        caller.join(20)
    assert answers == ["old"]
    eventually(lambda: not alive(pid))
    gone = eventually(lambda: rig.events.named("process.exited"))
    assert gone[0]["status"] == "exit status 0"
    assert ask(registry) == "new"
    rig.events.tell("process.started", "opsorch_plugin_starts_total", 2)


@pytest.mark.fault(60)
def test_a_configuration_that_cannot_work_is_refused(rig: Rig) -> None:
    registry = registry_of(rig, named(rig, "good"))
    kept = registry["alert"]
    bad: list[tuple[dict[str, str], type[OpsOrchError]]] = [
        ({"OPSORCH_ALERT_PROVIDER": "nobody"}, InvalidConfig),
        ({"OPSORCH_ALERT_PLUGIN": "bundled:nobody"}, PluginNotFound),
        ({"OPSORCH_ALERT_PLUGIN": str(rig.folder / "missing")}, PluginNotFound),
        ({"OPSORCH_ALERT_PLUGIN": "x", "OPSORCH_ALERT_CONFIG": "[]"}, InvalidConfig),
    ]
    codes = {InvalidConfig: (502, "invalid_config"), PluginNotFound: (503, "plugin_not_found")}
    for env, error in bad:
        with pytest.raises(error) as caught:
            registry.replace(alerts(rig, **env).capabilities["alert"])
        assert (caught.value.status, caught.value.code) == codes[error]
        assert registry["alert"] is kept
    # Whoever asked for it is told; the log does not say that the capability is off, as it is not.
    assert not rig.events.named("capability.off")
    assert ask(registry) == "good"
    rig.events.tell("process.started", "opsorch_plugin_starts_total")

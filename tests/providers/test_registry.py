"""Which provider answers, by the settings; replacing one; providers inside the gateway."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsorch.config import Settings
from opsorch.deadline import Deadline
from opsorch.errors import (
    InvalidConfig,
    OpsOrchError,
    PluginNotFound,
    ProviderError,
    ProviderMissing,
    UpstreamTimeout,
)
from opsorch.plugin import BadRequest, Call, ConfigSpec, Field, Provider, rpc
from opsorch.providers.base import CallContext, Unavailable
from opsorch.providers.in_process import InProcessProvider
from opsorch.providers.registry import Registry, adapter_named, adapters
from opsorch.providers.supervised import SupervisedProvider
from opsorch.supervisor.supervisor import Supervisor


class Told:
    """Takes events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, /, **facts: object) -> None:
        self.events.append((event, facts))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [facts for event, facts in self.events if event == name]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def supervisor(told: Told) -> Iterator[Supervisor]:
    made = Supervisor(told)
    yield made
    assert made.kill()


def registry_of(supervisor: Supervisor, told: Told, **environ: str) -> Registry:
    return Registry(Settings.from_env(environ), supervisor, told)


def context(seconds: float = 20.0) -> CallContext:
    return CallContext(Deadline.after(seconds), "r1", "kim", "")


def called(registry: Registry, capability: str, method: str, payload: Any = None) -> Any:
    data = json.dumps(payload).encode()
    provider = registry[capability].provider
    return json.loads(bytes(provider.call(method, data, context(), repeatable=True)))


def failed(registry: Registry, capability: str) -> OpsOrchError:
    with pytest.raises(OpsOrchError) as caught:
        called(registry, capability, f"{capability}.query")
    return caught.value


def test_nothing_configured_names_the_variables(supervisor: Supervisor, told: Told) -> None:
    registry = registry_of(supervisor, told)
    error = failed(registry, "ticket")
    assert isinstance(error, ProviderMissing)
    assert (error.code, error.status) == ("ticket_provider_missing", 501)
    assert "OPSORCH_TICKET_PLUGIN" in error.message
    assert registry["ticket"].provider.health() == {}
    assert not told.named("capability.off")


def test_a_faulty_configuration_turns_it_off_and_is_told(
    supervisor: Supervisor, told: Told
) -> None:
    registry = registry_of(
        supervisor, told, OPSORCH_LOG_PLUGIN="/bin/true", OPSORCH_LOG_CONFIG="{oops"
    )
    error = failed(registry, "log")
    assert isinstance(error, InvalidConfig)
    assert "OPSORCH_LOG_CONFIG" in error.message
    assert "oops" not in error.message
    assert told.named("capability.off")[0]["capability"] == "log"
    assert registry["log"].provider.health()["ready"] is False


def test_an_error_is_raised_as_a_copy(supervisor: Supervisor, told: Told) -> None:
    registry = registry_of(supervisor, told)
    first, second = failed(registry, "team"), failed(registry, "team")
    assert first is not second
    assert (str(first), first.message) == (str(second), second.message)


def test_unknown_adapters_are_named_with_those_there_are(
    supervisor: Supervisor, told: Told
) -> None:
    registry = registry_of(
        supervisor, told, OPSORCH_LOG_PLUGIN="bundled:nope", OPSORCH_TEAM_PROVIDER="nope"
    )
    missing = failed(registry, "log")
    assert isinstance(missing, PluginNotFound)
    assert "bundled:demo" in missing.message
    off = failed(registry, "team")
    assert isinstance(off, InvalidConfig)
    assert "OPSORCH_TEAM_PROVIDER" in off.message
    assert "demo" in off.message


def test_an_adapter_of_another_capability_is_no_adapter(supervisor: Supervisor, told: Told) -> None:
    registry = registry_of(supervisor, told, OPSORCH_TEAM_PLUGIN="bundled:prometheus")
    assert isinstance(failed(registry, "team"), PluginNotFound)


def test_aliases_are_found_and_not_listed() -> None:
    assert adapter_named("incident", "mock") == adapter_named("incident", "demo")
    assert adapter_named("log", "elastic") == adapter_named("log", "elasticsearch")
    assert "mock" not in adapters("incident")
    assert adapter_named("team", "elastic") is None


@pytest.mark.parametrize("kind", ["PLUGIN", "PROVIDER"])
def test_a_bundled_adapter_answers_both_ways(
    supervisor: Supervisor, told: Told, tmp_path: Path, kind: str
) -> None:
    value = {"PLUGIN": "bundled:mock", "PROVIDER": "mock"}[kind]
    environ = {f"OPSORCH_TEAM_{kind}": value, "OPSORCH_DATA_DIR": str(tmp_path)}
    environ["OPSORCH_TEAM_CONFIG"] = json.dumps({"dataDir": str(tmp_path)})
    registry = registry_of(supervisor, told, **environ)
    assert called(registry, "team", "team.get", {"id": "engineering"})["id"] == "engineering"
    assert registry["team"].provider.label == value
    assert registry["team"].provider.health()["ready"] is True
    registry["team"].provider.drain()
    from opsorch_plugins.demo.state import forget_states

    forget_states()


def test_a_plugin_wins_over_a_provider(supervisor: Supervisor, told: Told) -> None:
    environ = {"OPSORCH_TEAM_PLUGIN": "/nowhere/plugin", "OPSORCH_TEAM_PROVIDER": "demo"}
    registry = registry_of(supervisor, told, **environ)
    assert isinstance(registry["team"].provider, SupervisedProvider)
    assert isinstance(failed(registry, "team"), PluginNotFound)


def test_a_relative_path_starts_at_the_working_directory(
    supervisor: Supervisor, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "plugin"
    source = "for line in iter(input, ''): print('{\"result\": [\"here\"]}', flush=True)"
    script.write_text(f"#!{sys.executable} -IS\n{source}\n")
    script.chmod(0o755)
    registry = registry_of(supervisor, told, OPSORCH_TEAM_PLUGIN="./plugin")
    assert called(registry, "team", "team.query") == ["here"]


def test_a_plugin_sees_a_small_environment(
    supervisor: Supervisor, told: Told, tmp_path: Path
) -> None:
    script = tmp_path / "plugin"
    script.write_text(
        f"#!{sys.executable} -IS\nimport json, os\nfor line in iter(input, ''):\n"
        "    print(json.dumps({'result': dict(os.environ)}), flush=True)\n"
    )
    script.chmod(0o755)
    environ = {
        "OPSORCH_TEAM_PLUGIN": str(script),
        "OPSORCH_PLUGIN_ENV": "LETTER",
        "OPSORCH_BEARER_TOKEN": "s3cret",
        "OPSORCH_TEAM_CONFIG": '{"token":"hunter22"}',
        "OPSORCH_DATA_DIR": str(tmp_path),
        "OPSORCH_LOG_LEVEL": "debug",
        "LETTER": "a",
        "OTHER": "b",
        "LC_ALL": "C.UTF-8",
        "SSL_CERT_FILE": "/c",
        "https_proxy": "http://p",
        "PATH": "/usr/bin:/bin",
    }
    seen = called(registry_of(supervisor, told, **environ), "team", "team.query")
    owner = seen.pop("OPSORCH_PLUGIN_OWNER")
    assert owner.count(".") >= 3
    shell_adds = {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}
    assert {name: value for name, value in seen.items() if name not in shell_adds} == {
        "LETTER": "a",
        "LC_ALL": "C.UTF-8",
        "SSL_CERT_FILE": "/c",
        "https_proxy": "http://p",
        "PATH": "/usr/bin:/bin",
        "OPSORCH_DATA_DIR": str(tmp_path),
        "OPSORCH_LOG_LEVEL": "debug",
        "PYTHONUNBUFFERED": "1",
    }


def test_a_replaced_provider_answers_and_a_bad_one_is_refused(
    supervisor: Supervisor, told: Told, tmp_path: Path
) -> None:
    registry = registry_of(supervisor, told, OPSORCH_DATA_DIR=str(tmp_path))
    own = registry["team"].settings
    registry.replace(dataclasses.replace(own, plugin="bundled:demo"))
    before = registry["team"].provider
    with pytest.raises(PluginNotFound):
        registry.replace(dataclasses.replace(own, plugin="bundled:nope"))
    assert registry["team"].provider is before
    assert called(registry, "team", "team.get", {"id": "team-data"})["id"] == "team-data"
    registry.replace(dataclasses.replace(own, plugin="", provider="demo"))
    assert isinstance(registry["team"].provider, InProcessProvider)
    assert set(registry.slots) == set(Settings.from_env({}).capabilities)


class Acme(Provider):
    """Fails in every way."""

    name = "acme"
    capability = "team"
    config = ConfigSpec("acme", (Field("token", secret=True),))

    @rpc("team.query")
    def query(self, payload: dict[str, Any], call: Call) -> Any:
        """Do what the payload says."""
        what = payload.get("name")
        if what == "nan":
            return [float("nan")]
        if what == "told":
            raise BadRequest(f"the token {self.settings['token'].reveal()} is odd")
        if what == "context":
            return [call.request_id, call.actor, call.deadline.remaining()]
        if what == "object":
            return object()
        raise ValueError("a defect")


def acme() -> InProcessProvider:
    return InProcessProvider("acme", Acme, {"token": "hunter22"})


def acme_call(name: str, seconds: float = 20.0) -> Any:
    payload = json.dumps({"name": name}).encode()
    return json.loads(bytes(acme().call("team.query", payload, context(seconds), repeatable=True)))


@pytest.mark.parametrize("name", ["nan", "object", "defect"])
def test_a_failing_class_is_a_provider_error(name: str) -> None:
    with pytest.raises(ProviderError, match=r"'acme' failed at team\.query"):
        acme_call(name)


def test_secrets_are_taken_out_of_its_errors() -> None:
    with pytest.raises(BadRequest, match=r"the token \*\*\* is odd"):
        acme_call("told")


def test_it_gets_the_context_and_a_shorter_deadline() -> None:
    request_id, actor, remaining = acme_call("context", 10.0)
    assert (request_id, actor) == ("r1", "kim")
    assert 0 < remaining <= 9.5


def test_without_time_it_is_not_called() -> None:
    with pytest.raises(UpstreamTimeout):
        acme_call("context", 0.0)


def test_an_unavailable_provider_drains_at_once() -> None:
    Unavailable("x", InvalidConfig("y")).drain()

"""Which provider answers, by the settings; replacing one; providers inside the gateway."""

import dataclasses
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsorch.config import Settings, known_variables
from opsorch.deadline import Deadline
from opsorch.errors import (
    InvalidConfig,
    OpsOrchError,
    PluginNotFound,
    PluginStartFailed,
    ProviderError,
    ProviderMissing,
    ReportedError,
    RpcTimeout,
    Unauthorized,
    UpstreamTimeout,
)
from opsorch.plugin import (
    BadRequest,
    Call,
    ConfigSpec,
    Field,
    NotFound,
    Provider,
    RateLimited,
    rpc,
)
from opsorch.providers import registry as registry_module
from opsorch.providers.base import CallContext, Unavailable
from opsorch.providers.in_process import InProcessProvider
from opsorch.providers.registry import Registry, adapter_named, adapters, fault_of
from opsorch.providers.supervised import SupervisedProvider
from opsorch.supervisor.supervisor import Supervisor


class OwnCode(ProviderError):
    """A code that only this adapter knows."""

    code = "acme_down"


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


def test_a_providers_name_is_taken_in_any_letter_case(supervisor: Supervisor, told: Told) -> None:
    registry = registry_of(supervisor, told, OPSORCH_TEAM_PROVIDER=" Demo ")
    assert isinstance(registry["team"].provider, InProcessProvider)
    assert registry["team"].provider.label == "demo"


@pytest.mark.parametrize("kind", ["PLUGIN", "PROVIDER"])
def test_a_bundled_adapter_answers_both_ways(
    supervisor: Supervisor, told: Told, tmp_path: Path, kind: str
) -> None:
    value = {"PLUGIN": "bundled:mock", "PROVIDER": "mock"}[kind]
    environ = {f"OPSORCH_TEAM_{kind}": value, "OPSORCH_DATA_DIR": str(tmp_path)}
    registry = registry_of(supervisor, told, **environ)
    assert called(registry, "team", "team.get", {"id": "engineering"})["id"] == "engineering"
    assert registry["team"].provider.label == value
    assert registry["team"].provider.health()["ready"] is True
    assert (tmp_path / "demo.db").exists(), "its data are in the folder of the settings"
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


def test_secrets_that_a_plugin_sees_as_variables_are_masked(
    supervisor: Supervisor, told: Told, tmp_path: Path
) -> None:
    """What has no name of a secret stays: a region, a short word."""
    script = tmp_path / "plugin"
    script.write_text(
        f"#!{sys.executable} -IS\nimport os, sys\nask = input()\n"
        "for name in ('ACME_TOKEN', 'REGION', 'SHORT_KEY', 'https_proxy'):\n"
        "    print(name, os.environ[name], file=sys.stderr)\n"
    )
    script.chmod(0o755)
    environ = {
        "OPSORCH_TEAM_PLUGIN": str(script),
        "OPSORCH_TEAM_ENV": "ACME_TOKEN, REGION, SHORT_KEY",
        "ACME_TOKEN": "hunter2-hunter2",
        "REGION": "eu-west-1",
        "SHORT_KEY": "s1",
        "https_proxy": "http://svc-acme:pr0xy-pass@proxy:3128",
    }
    registry = registry_of(supervisor, told, **environ)
    message = failed(registry, "team").message
    shown = "ACME_TOKEN *** | REGION eu-west-1 | SHORT_KEY s1 | https_proxy http://***@proxy:3128"
    assert message.endswith(shown)
    assert "hunter2" not in str(told.events)
    provider = registry["team"].provider
    assert isinstance(provider, SupervisedProvider)
    assert provider.pool.spec.redact("refused: pr0xy-pass") == "refused: ***"


def test_messages_name_the_variables_of_the_capability(
    supervisor: Supervisor, told: Told, tmp_path: Path
) -> None:
    """Those of all plugins change nothing where it has one of its own."""
    script = tmp_path / "plugin"
    script.write_text(f"#!{sys.executable} -IS\nimport time\ninput()\ntime.sleep(100)\n")
    script.chmod(0o755)
    registry = registry_of(supervisor, told, OPSORCH_TEAM_PLUGIN=str(script))
    with pytest.raises(RpcTimeout, match="raise OPSORCH_TEAM_TIMEOUT"):
        registry["team"].provider.call("team.query", b"{}", context(0.2), repeatable=True)
    assert "OPSORCH_TEAM_TIMEOUT" in known_variables()


def test_a_bundled_adapter_is_called_what_was_configured(
    supervisor: Supervisor, told: Told, tmp_path: Path
) -> None:
    """Not by the interpreter that runs it: here one without its library."""
    environ = {"OPSORCH_TEAM_ENV": "PYTHONHOME", "PYTHONHOME": str(tmp_path)}
    registry = registry_of(supervisor, told, OPSORCH_TEAM_PLUGIN="bundled:mock", **environ)
    begins = "The plugin of 'team' (bundled:mock) "
    assert failed(registry, "team").message.startswith(f"{begins}cannot be started: it ended")
    assert failed(registry, "team").message.startswith(begins), "also while backoff lasts"


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
    assert not told.named("capability.off"), "the old one stays on"
    assert called(registry, "team", "team.get", {"id": "team-data"})["id"] == "team-data"
    registry.replace(dataclasses.replace(own, plugin="", provider="demo"))
    assert isinstance(registry["team"].provider, InProcessProvider)
    assert set(registry.slots) == set(Settings.from_env({}).capabilities)


ODD_ERRORS = {
    "unauthorized": Unauthorized("the upstream said 401"),
    "own": OwnCode("the upstream said no"),
    "half": NotFound("half a pair: \ud800"),
    "long": NotFound("x" * 100_000),
    "later": RateLimited("slow down", retry_after_s=1e300),
}


def test_a_file_that_cannot_be_executed_replaces_nothing(
    supervisor: Supervisor, told: Told, tmp_path: Path
) -> None:
    registry = registry_of(supervisor, told, OPSORCH_TEAM_PROVIDER="demo")
    before, own = registry["team"].provider, registry["team"].settings
    with pytest.raises(PluginNotFound):
        registry.replace(dataclasses.replace(own, plugin=str(tmp_path / "none")))
    with pytest.raises(PluginStartFailed, match="it is a directory"):
        registry.replace(dataclasses.replace(own, plugin=str(tmp_path)))
    assert registry["team"].provider is before


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
        if what == "exit":
            raise SystemExit(3)
        if what in ODD_ERRORS:
            raise ODD_ERRORS[what]
        raise ValueError(f"a defect near {self.settings['token'].reveal()}")


def acme() -> InProcessProvider:
    return InProcessProvider("acme", Acme, {"token": "hunter22"})


def acme_call(name: str, seconds: float = 20.0) -> Any:
    payload = json.dumps({"name": name}).encode()
    return json.loads(bytes(acme().call("team.query", payload, context(seconds), repeatable=True)))


@pytest.mark.parametrize("name", ["nan", "object", "defect", "exit"])
def test_a_failing_class_is_a_provider_error(name: str) -> None:
    with pytest.raises(ProviderError, match=r"'acme' failed at team\.query"):
        acme_call(name)


def test_secrets_are_taken_out_of_its_errors() -> None:
    with pytest.raises(ReportedError, match=r"the token \*\*\* is odd") as caught:
        acme_call("told")
    assert (caught.value.code, caught.value.status) == ("bad_request", 400)


@pytest.mark.parametrize(
    ("name", "code", "status"),
    [
        ("unauthorized", "unauthorized", 502),
        ("own", "acme_down", 502),
        ("half", "not_found", 404),
        ("long", "not_found", 404),
        ("later", "rate_limited", 429),
    ],
)
def test_its_errors_are_those_of_a_plugin(name: str, code: str, status: int) -> None:
    """Whatever an adapter raises: it neither blames the caller's token nor breaks the answer."""
    with pytest.raises(ReportedError) as caught:
        acme_call(name)
    assert (caught.value.code, caught.value.status) == (code, status)
    caught.value.message.encode()
    assert len(caught.value.message) < 5000
    assert (caught.value.retry_after_s or 0) < 1e9


def test_a_defect_is_logged_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ProviderError) as caught:
        acme_call("defect")
    assert caught.value.outcome_unknown
    assert "ValueError at test_registry.py" in caplog.text
    assert "hunter22" not in caplog.text + str(caught.value)


class Broken(importlib.metadata.EntryPoint):
    """An adapter whose library is missing."""

    def load(self) -> Any:
        raise ImportError("No module named 'acme'")


def test_an_adapter_that_cannot_be_imported_turns_one_capability_off(
    supervisor: Supervisor, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken("acme", "acme.provider:Teams", "opsorch.providers.team")
    monkeypatch.setattr(registry_module, "adapter_named", lambda capability, name: broken)
    registry = registry_of(supervisor, told, OPSORCH_TEAM_PROVIDER="acme")
    error = failed(registry, "team")
    assert (error.code, error.status) == ("invalid_config", 502)
    assert "cannot be loaded (ImportError)" in error.message
    assert registry["team"].provider.health()["ready"] is False
    assert failed(registry, "log").code == "log_provider_missing"


def test_a_path_below_an_unknown_users_home_is_not_found(
    supervisor: Supervisor, told: Told
) -> None:
    registry = registry_of(supervisor, told, OPSORCH_TEAM_PLUGIN="~no-such-user-here/plugin")
    assert isinstance(failed(registry, "team"), PluginNotFound)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, ""),
        ({"OPSORCH_TEAM_PLUGIN": "bundled:demo"}, ""),
        ({"OPSORCH_TEAM_PROVIDER": "demo"}, ""),
        ({"OPSORCH_TEAM_PLUGIN": "bundled:nope"}, "names no bundled adapter"),
        ({"OPSORCH_TEAM_PROVIDER": "nope"}, "names no known adapter"),
        ({"OPSORCH_TEAM_PLUGIN": "bundled:github"}, "missing required field(s): token"),
        ({"OPSORCH_TEAM_PROVIDER": "github"}, "missing required field(s): token"),
        ({"OPSORCH_TEAM_PLUGIN": "/nowhere"}, "There is no file at /nowhere"),
        ({"OPSORCH_TEAM_PLUGIN": "/dev"}, "it is a directory"),
        ({"OPSORCH_TEAM_PLUGIN": "/bin/sh", "OPSORCH_TEAM_CONFIG": "{"}, "is not valid JSON"),
    ],
)
def test_what_hinders_a_capability_is_told_without_starting_it(
    environ: dict[str, str], words: str
) -> None:
    told = fault_of(Settings.from_env(environ), "team")
    assert words in told
    assert bool(told) is bool(words)


@pytest.mark.parametrize("kind", ["PLUGIN", "PROVIDER"])
@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null", "/dev/null/below"])
def test_an_adapter_that_cannot_keep_its_data_is_hindered(
    supervisor: Supervisor, told: Told, tmp_path: Path, kind: str, folder: str
) -> None:
    """Until it can: it is asked anew, and nothing is made where it is asked."""
    value = {"PLUGIN": "bundled:mock", "PROVIDER": "demo"}[kind]
    hindered = {f"OPSORCH_TEAM_{kind}": value, "OPSORCH_DATA_DIR": folder}
    assert "OPSORCH_DATA_DIR" in fault_of(Settings.from_env(hindered), "team")
    health = registry_of(supervisor, told, **hindered)["team"].health()
    assert health["ready"] is False
    assert "cannot be written" in health["reason"]
    file = tmp_path / "file"
    file.touch()
    well = {**hindered, "OPSORCH_DATA_DIR": str(file)}
    slot = registry_of(supervisor, told, **well)["team"]
    assert slot.health()["ready"] is False
    file.unlink()
    assert slot.health()["ready"] is True
    assert fault_of(Settings.from_env(well), "team") == ""
    assert list(tmp_path.iterdir()) == []


def test_a_question_that_fails_is_no_hindrance(
    supervisor: Supervisor,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Broken("demo", "acme:hindrance", "opsorch.provider_hindrances")
    monkeypatch.setattr(registry_module, "_hindrances", lambda: {"demo": broken})
    registry = registry_of(supervisor, told, OPSORCH_TEAM_PROVIDER="demo")
    assert registry["team"].health()["ready"] is True
    assert "acme:hindrance failed" in caplog.text


def test_it_gets_the_context_and_a_shorter_deadline() -> None:
    request_id, actor, remaining = acme_call("context", 10.0)
    assert (request_id, actor) == ("r1", "kim")
    assert 0 < remaining <= 9.5


def test_without_time_it_is_not_called() -> None:
    with pytest.raises(UpstreamTimeout):
        acme_call("context", 0.0)


def test_an_unavailable_provider_drains_at_once() -> None:
    Unavailable("x", InvalidConfig("y")).drain()

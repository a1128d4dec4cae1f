"""Providers and the dispatcher: methods, configurations, checks, redaction."""

import logging
from typing import Any

import pytest

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, InvalidConfig, NotFound, OpsOrchError, ProviderError
from opsorch.plugin import Call, Check, ConfigSpec, Dispatcher, Field, Provider, rpc
from opsorch.plugin.config import string_list
from opsorch.plugin.provider import MAX_PROVIDERS
from tests.plugin.acme import Acme

TOKEN = "a-token-of-the-tests"


@pytest.fixture
def call() -> Call:
    return Call(Deadline.after(60), "r1", "u1", "t1")


@pytest.fixture
def acme() -> Dispatcher:
    return Dispatcher(Acme)


def refused(dispatcher: Dispatcher, *call: Any) -> OpsOrchError:
    with pytest.raises(OpsOrchError) as raised:
        dispatcher.call(*call)
    return raised.value


def test_a_method_is_called_with_payload_and_call(acme: Dispatcher, call: Call) -> None:
    """An absent payload is an empty one."""
    answer = acme.call("ticket.get", {"timeoutSeconds": 5}, {"id": "1"}, call)
    assert answer["payload"] == {"id": "1"}
    assert (answer["requestId"], answer["actor"], answer["traceparent"]) == ("r1", "u1", "t1")
    assert acme.call("ticket.get", None, None, call)["payload"] == {}


@pytest.mark.parametrize(("seconds", "found"), [(5, 5), (300, 60), (None, 30)])
def test_the_adapters_own_timeout_shortens_the_deadline(
    acme: Dispatcher, call: Call, seconds: Any, found: float
) -> None:
    """It never stretches it."""
    config = {} if seconds is None else {"timeoutSeconds": seconds}
    assert acme.call("ticket.get", config, {}, call)["seconds"] == found


def test_what_cannot_be_called(acme: Dispatcher, call: Call) -> None:
    """Unknown methods are named with the known ones; payload and config are objects."""
    error = refused(acme, "ticket.delete", {}, {}, call)
    assert isinstance(error, BadRequest)
    assert error.message == (
        "unknown method 'ticket.delete'; this plugin answers ticket.get, ticket.query"
    )
    assert refused(acme, "ticket.get", {}, [], call).message == "payload must be an object"
    assert refused(acme, "ticket.get", "x", {}, call).message == "config must be an object"
    assert refused(acme, "plugin.check", [], {}, call).message == "config must be an object"


def test_a_plugin_describes_itself(acme: Dispatcher, call: Call) -> None:
    """Whatever configuration comes along."""
    about = acme.call("plugin.describe", "nonsense", 5, call)
    assert about["name"] == "acme"
    assert about["methods"] == ["ticket.get", "ticket.query"]
    assert set(about["config"]["properties"]) == {"token", "url", "timeoutSeconds"}


def test_checks_are_a_list_of_lines(acme: Dispatcher, call: Call) -> None:
    """Configuration, upstream, and a secret in neither."""
    well = acme.call("plugin.check", {"token": TOKEN}, None, call)
    assert well == {
        "ok": True,
        "checks": [
            {"name": "configuration", "ok": True, "message": ""},
            {"name": "upstream", "ok": True, "message": "with ***"},
        ],
    }
    assert acme.call("plugin.check", {"token": "short"}, None, call)["ok"] is False
    [line] = acme.call("plugin.check", {}, None, call)["checks"]
    assert line == {"name": "upstream", "ok": False, "message": "no token"}
    [line] = acme.call("plugin.check", {"url": 5}, None, call)["checks"]
    assert (line["name"], line["ok"]) == ("configuration", False)


class Plain(Provider):
    name = "plain"
    capability = "team"
    config = ConfigSpec("plain", (Field("keys", string_list(), secret=True),))

    @rpc("team.get")
    def get(self, payload: Any, call: Call) -> Any:
        raise NotFound(f"no {payload['id']} with {self.settings['keys']}")


def test_a_provider_without_a_check_says_so(call: Call) -> None:
    """As a line that is not well."""
    [line] = Dispatcher(Plain).call("plugin.check", {}, None, call)["checks"]
    assert line["message"] == "The plain plugin has no check."


def test_secrets_in_lists_are_secrets(call: Call) -> None:
    """What is declared secret is taken out of errors, whatever its name and form."""
    config = {"keys": ["first-key-of-all", "second-key"]}
    error = refused(Dispatcher(Plain), "team.get", config, {"id": "x"}, call)
    assert error.message == "no x with ['***', '***']"
    assert str(error) == error.message


class Mixin:
    @rpc("team.members")
    def members(self, payload: Any, call: Call) -> Any:
        return ["mixed in"]


class Mixed(Mixin, Plain):
    def get(self, payload: Any, call: Call) -> Any:
        return "overridden"

    @rpc("team.members")
    def own_members(self, payload: Any, call: Call) -> Any:
        return ["own"]


class MixedOnly(Mixin, Plain):
    pass


def test_methods_are_inherited_mixed_in_and_overridden(call: Call) -> None:
    """The nearest class wins; the base keeps its own."""
    assert Dispatcher(Mixed).call("team.get", {}, {}, call) == "overridden"
    assert Dispatcher(Mixed).call("team.members", {}, {}, call) == ["own"]
    assert Dispatcher(MixedOnly).call("team.members", {}, {}, call) == ["mixed in"]
    assert set(Plain.handlers) == {"team.get"}


def test_one_provider_a_configuration(acme: Dispatcher) -> None:
    """The same object for the same settings, whatever their order; few are kept."""
    first = acme.provider({"token": "a", "timeoutSeconds": 1})
    assert acme.provider({"timeoutSeconds": 1, "token": "a"}) is first
    for n in range(MAX_PROVIDERS - 1):
        acme.provider({"token": f"token-{n}"})
    assert acme.provider({"token": "a", "timeoutSeconds": 1}) is first
    kept = acme.provider({"token": "token-1"})
    acme.provider({"token": "one more"})
    assert acme.provider({"token": "token-1"}) is kept
    assert len(acme._providers) == MAX_PROVIDERS


def test_unknown_fields_are_warned_of_once(
    acme: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    """By name."""
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            acme.provider({"token": TOKEN, "bogus": "value-of-it"})
    [record] = caplog.records
    assert record.getMessage() == "acme config: unknown field(s) ignored: bogus"


class Careless(Provider):
    name = "careless"
    capability = "team"
    config = ConfigSpec("careless", (Field("token", secret=True),))

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        raise InvalidConfig(f"the token {config['token']} is no good")


def test_a_secret_in_a_refusal_of_the_configuration() -> None:
    """Even a careless one."""
    with pytest.raises(InvalidConfig) as raised:
        Dispatcher(Careless).provider({"token": TOKEN})
    assert raised.value.message == "the token *** is no good"


def test_a_call_made_by_hand_has_a_deadline() -> None:
    """Nothing waits for ever."""
    assert Call().deadline.timeout_s == 30.0
    assert Check("name", ok=True).message == ""


def test_an_outcome_survives_the_redaction(acme: Dispatcher, call: Call) -> None:
    """The error is the same object."""
    error = refused(acme, "ticket.query", {"token": TOKEN}, {"do": "unknown outcome"}, call)
    assert isinstance(error, ProviderError)
    assert error.outcome_unknown


def test_a_part_of_a_call_ends_with_it() -> None:
    """It is the same call otherwise."""
    now = [0.0]
    call = Call(Deadline.after(60, lambda: now[0]), "r1", "u1", "t1")
    part, share = call.within(5), call.within_share(0.5)
    assert (part.request_id, part.actor, part.traceparent) == ("r1", "u1", "t1")
    assert (part.deadline.remaining(), share.deadline.remaining()) == (5, 30)
    now[0] = 50.0
    assert call.within(20).deadline.remaining() == 10
    assert call.within_share(0.5).deadline.remaining() == 5

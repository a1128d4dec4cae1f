"""What guards the other tests here does fail."""

import pytest

from opsorch.supervisor.launch import OWNER_VARIABLE
from tests.e2e.support import answered, at, env_of, guarded_gateway

DEMO = env_of("demo", "plugin", {"LOG": {}})


@pytest.mark.parametrize(
    "secret",
    ["opsorch.plugin.run", OWNER_VARIABLE, "process.started"],
    ids=["cmdline", "env", "log"],
)
def test_a_shown_secret_is_found(secret: str) -> None:
    """On a command line, in a plugin's environment, in the log."""
    with pytest.raises(AssertionError, match=secret), guarded_gateway(DEMO, secret) as gateway:
        answered(gateway.request("POST", "/logs/query", {"limit": 1}))


def test_an_example_that_does_not_name_the_server_is_found() -> None:
    """It would be asked at its real address."""
    env = {"OPSORCH_LOG_CONFIG": '{"url": "http://a:1"}', "OPSORCH_LOG_PLUGIN": "bundled:x"}
    assert at("http://b:2", env, "http://a:1")["OPSORCH_LOG_CONFIG"] == '{"url": "http://b:2"}'
    with pytest.raises(AssertionError, match="OPSORCH_LOG_CONFIG"):
        at("http://b:2", env, "http://c:3")

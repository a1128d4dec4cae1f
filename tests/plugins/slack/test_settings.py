"""The configuration: faults by name, all at once, never by value."""

import json
import logging
from typing import Any

import pytest
import requests_mock

from opsorch.errors import InvalidConfig
from opsorch.plugin import Call
from opsorch_plugins.slack.provider import SlackMessaging
from tests.plugins.slack.support import TOKEN, accept, message

HOOK = "https://hooks.slack.com/services/T0/B0/secret"


def fault_of(**config: Any) -> str:
    with pytest.raises(InvalidConfig) as refused:
        SlackMessaging(config)
    return refused.value.message


@pytest.mark.case("slack", 18)
@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({}, "slack config: missing required field(s): token"),
        ({"token": "  "}, "slack config: missing required field(s): token"),
        ({"token": None}, "slack config: missing required field(s): token"),
        ({"token": 12345678}, "slack config: field token must be a string"),
        ({"token": HOOK}, "slack config: field token is a webhook URL, a bot token is needed"),
        (
            {"token": "xoxb-1\r\nX-Evil: 1"},
            "slack config: field token must be visible ASCII without blanks",
        ),
    ],
)
def test_a_fault_of_the_token_is_named_without_it(config: dict[str, Any], fault: str) -> None:
    """No call is made, and the value is not repeated."""
    assert fault_of(**config) == fault


@pytest.mark.case("slack", 18)
@pytest.mark.parametrize("name", ["token", "botToken", "apiToken", "accessToken"])
def test_the_token_is_trimmed_and_has_other_names(
    http: requests_mock.Mocker, call: Call, name: str
) -> None:
    """A line break at its end comes from files."""
    accept(http)
    SlackMessaging({name: f" {TOKEN}\n"}).send(message(), call)
    assert http.request_history[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"apiURL": "slack.com/api"}, "field apiURL must be an absolute http(s) URL"),
        ({"apiUrl": "https://u:p@x.example"}, "field apiURL must be an absolute http(s) URL"),
        ({"baseURL": "https://x.example?a=1"}, "field apiURL must be an absolute http(s) URL"),
        ({"baseUrl": "https://x.example#a"}, "field apiURL must be an absolute http(s) URL"),
        ({"defaultChannel": 7}, "field defaultChannel must be a string"),
        ({"resolveChannels": "yes"}, "field resolveChannels must be true or false"),
        ({"allowBroadcast": 1}, "field allowBroadcast must be true or false"),
        ({"permalinks": "no"}, "field permalinks must be true or false"),
        ({"source": []}, "field source must be a string"),
        ({"timeoutSeconds": 0.5}, "field timeoutSeconds must be a number between 1 and 300"),
        ({"timeoutSeconds": 301}, "field timeoutSeconds must be a number between 1 and 300"),
    ],
)
def test_other_faults(config: dict[str, Any], fault: str) -> None:
    """Each names its field."""
    assert fault in fault_of(token=TOKEN, **config)


def test_all_faults_come_at_once() -> None:
    """Mending one after another takes an afternoon."""
    message_ = fault_of(apiURL="odd-value", permalinks=7)
    assert message_.startswith("slack config: missing required field(s): token; field apiURL")
    assert "field permalinks" in message_ and "odd-value" not in message_


def test_defaults() -> None:
    """What the documentation says."""
    settings = dict(SlackMessaging({"token": TOKEN, "unknown": 1, "source": " "}).settings)
    settings.pop("token")
    assert settings == {
        "apiURL": "https://slack.com/api",
        "defaultChannel": None,
        "resolveChannels": True,
        "allowBroadcast": False,
        "permalinks": True,
        "source": "slack",
        "timeoutSeconds": 30,
    }


@pytest.mark.parametrize(("token", "warned"), [("other-token", True), (TOKEN, False)])
def test_an_unusual_token_is_warned_of(
    caplog: pytest.LogCaptureFixture, token: str, warned: bool
) -> None:
    """It is tried all the same, and does not show."""
    with caplog.at_level(logging.WARNING):
        provider = SlackMessaging({"token": token})
    assert ("does not look like" in caplog.text) is warned
    assert token not in f"{caplog.text} {provider.settings!r}"


def test_the_description_marks_the_secret() -> None:
    """plugin.describe answers with it."""
    about = json.loads(json.dumps(SlackMessaging.describe()))
    assert (about["name"], about["capability"]) == ("slack", "messaging")
    assert about["methods"] == ["messaging.send"]
    assert about["config"]["required"] == ["token"]
    properties = about["config"]["properties"]
    assert {name for name, entry in properties.items() if entry.get("writeOnly")} == {"token"}
    assert all(entry["description"] for entry in properties.values())

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.plugin import Call
from opsorch_plugins.slack.provider import SlackMessaging
from tests.plugins.slack.support import TOKEN


@pytest.fixture
def http() -> Iterator[requests_mock.Mocker]:
    """Every request that is not registered fails as unreachable."""
    with requests_mock.Mocker() as mocker:
        yield mocker


@pytest.fixture
def call() -> Call:
    return Call(Deadline.after(30.0))


@pytest.fixture
def pauses() -> list[float]:
    """The waits between tries, instead of waiting."""
    return []


@pytest.fixture
def slack_of(pauses: list[float]) -> Callable[..., SlackMessaging]:
    """Build a provider that does not wait between tries."""

    def build(**config: Any) -> SlackMessaging:
        provider = SlackMessaging({"token": TOKEN, **config})
        provider.client.upstream._sleep = pauses.append
        provider.client.upstream._jitter = lambda: 0.0
        return provider

    return build

from collections.abc import Callable
from typing import Any

import pytest

from opsorch_plugins.slack.provider import SlackMessaging
from tests.plugins.slack.support import TOKEN
from tests.plugins.support import unhurried


@pytest.fixture
def slack_of(pauses: list[float]) -> Callable[..., SlackMessaging]:
    """Build a provider that does not wait between tries."""

    def build(**config: Any) -> SlackMessaging:
        provider = SlackMessaging({"token": TOKEN, **config})
        unhurried(provider.client.upstream, pauses)
        return provider

    return build

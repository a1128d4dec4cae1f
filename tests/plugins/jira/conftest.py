from collections.abc import Callable
from typing import Any

import pytest

from opsorch_plugins.jira.provider import JiraTickets
from tests.plugins.jira.support import CONFIG
from tests.plugins.support import unhurried


@pytest.fixture
def tickets_of(pauses: list[float]) -> Callable[..., JiraTickets]:
    """Build a provider that does not wait between tries."""

    def build(**config: Any) -> JiraTickets:
        provider = JiraTickets({**CONFIG, **config})
        unhurried(provider.jira.upstream, pauses)
        return provider

    return build

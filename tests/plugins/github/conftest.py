from collections.abc import Callable
from typing import Any

import pytest

from opsorch_plugins.github.provider import GitHubDeployments, GitHubTeams, GitHubTickets
from tests.plugins.github.support import TOKEN
from tests.plugins.support import unhurried


@pytest.fixture
def tickets_of(pauses: list[float]) -> Callable[..., GitHubTickets]:
    """Build a ticket provider that does not wait between tries."""

    def build(**config: Any) -> GitHubTickets:
        given = {"token": TOKEN, "owner": "acme", "repo": "web", **config}
        provider = GitHubTickets(given)
        unhurried(provider.github.upstream, pauses)
        return provider

    return build


@pytest.fixture
def deployments_of(pauses: list[float]) -> Callable[..., GitHubDeployments]:
    """Build a deployment provider that does not wait between tries."""

    def build(**config: Any) -> GitHubDeployments:
        given = {"token": TOKEN, "owner": "acme", "repo": "web", **config}
        provider = GitHubDeployments(given)
        unhurried(provider.github.upstream, pauses)
        return provider

    return build


@pytest.fixture
def teams_of(pauses: list[float]) -> Callable[..., GitHubTeams]:
    """Build a team provider that does not wait between tries."""

    def build(**config: Any) -> GitHubTeams:
        given = {"token": TOKEN, "organization": "acme", **config}
        provider = GitHubTeams(given)
        unhurried(provider.github.upstream, pauses)
        return provider

    return build

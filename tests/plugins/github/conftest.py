from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.plugin import Call
from opsorch_plugins.github.provider import GitHubDeployments, GitHubTeams, GitHubTickets
from tests.plugins.github.support import TOKEN


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


def _unhurried(provider: Any, pauses: list[float]) -> Any:
    provider.github.upstream._sleep = pauses.append
    provider.github.upstream._jitter = lambda: 0.0
    return provider


@pytest.fixture
def tickets_of(pauses: list[float]) -> Callable[..., GitHubTickets]:
    """Build a ticket provider that does not wait between tries."""

    def build(**config: Any) -> GitHubTickets:
        given = {"token": TOKEN, "owner": "acme", "repo": "web", **config}
        return _unhurried(GitHubTickets(given), pauses)

    return build


@pytest.fixture
def deployments_of(pauses: list[float]) -> Callable[..., GitHubDeployments]:
    """Build a deployment provider that does not wait between tries."""

    def build(**config: Any) -> GitHubDeployments:
        given = {"token": TOKEN, "owner": "acme", "repo": "web", **config}
        return _unhurried(GitHubDeployments(given), pauses)

    return build


@pytest.fixture
def teams_of(pauses: list[float]) -> Callable[..., GitHubTeams]:
    """Build a team provider that does not wait between tries."""

    def build(**config: Any) -> GitHubTeams:
        given = {"token": TOKEN, "organization": "acme", **config}
        return _unhurried(GitHubTeams(given), pauses)

    return build

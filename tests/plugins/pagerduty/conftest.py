from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.plugin import Call
from opsorch_plugins.pagerduty.provider import PagerDutyIncidents, PagerDutyServices
from tests.plugins.pagerduty.support import CONFIG


@pytest.fixture
def http() -> Iterator[requests_mock.Mocker]:
    """Every request that is not registered fails as unreachable."""
    with requests_mock.Mocker(case_sensitive=True) as mocker:
        yield mocker


@pytest.fixture
def call() -> Call:
    return Call(Deadline.after(30.0))


@pytest.fixture
def pauses() -> list[float]:
    """The waits between tries, instead of waiting."""
    return []


def _unhurried(provider: Any, pauses: list[float]) -> None:
    provider.pagerduty.upstream._sleep = pauses.append
    provider.pagerduty.upstream._jitter = lambda: 0.0


@pytest.fixture
def build(pauses: list[float]) -> Callable[..., PagerDutyIncidents]:
    """Build an incident provider that does not wait between tries."""

    def build(**config: Any) -> PagerDutyIncidents:
        provider = PagerDutyIncidents({**CONFIG, **config})
        _unhurried(provider, pauses)
        return provider

    return build


@pytest.fixture
def provider(build: Callable[..., PagerDutyIncidents]) -> PagerDutyIncidents:
    return build()


@pytest.fixture
def services(pauses: list[float]) -> PagerDutyServices:
    """A service provider that does not wait between tries."""
    provider = PagerDutyServices(CONFIG)
    _unhurried(provider, pauses)
    return provider

from collections.abc import Callable
from typing import Any

import pytest

from opsorch_plugins.pagerduty.provider import PagerDutyIncidents, PagerDutyServices
from tests.plugins.pagerduty.support import CONFIG
from tests.plugins.support import unhurried


@pytest.fixture
def build(pauses: list[float]) -> Callable[..., PagerDutyIncidents]:
    """Build an incident provider that does not wait between tries."""

    def build(**config: Any) -> PagerDutyIncidents:
        provider = PagerDutyIncidents({**CONFIG, **config})
        unhurried(provider.pagerduty.upstream, pauses)
        return provider

    return build


@pytest.fixture
def provider(build: Callable[..., PagerDutyIncidents]) -> PagerDutyIncidents:
    return build()


@pytest.fixture
def services(pauses: list[float]) -> PagerDutyServices:
    """A service provider that does not wait between tries."""
    provider = PagerDutyServices(CONFIG)
    unhurried(provider.pagerduty.upstream, pauses)
    return provider

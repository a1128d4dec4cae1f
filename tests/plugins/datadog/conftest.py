from collections.abc import Callable
from typing import Any

import pytest

from opsorch_plugins.datadog.provider import (
    DatadogAlerts,
    DatadogIncidents,
    DatadogLogs,
    DatadogMetrics,
    DatadogServices,
)
from tests.plugins.datadog.support import CONFIG
from tests.plugins.support import unhurried


@pytest.fixture
def build(pauses: list[float]) -> Callable[..., Any]:
    """Build a provider of a class that does not wait between tries."""

    def build(provider_class: Any, **config: Any) -> Any:
        provider = provider_class({**CONFIG, **config})
        unhurried(provider.datadog.upstream, pauses)
        return provider

    return build


@pytest.fixture
def metrics(build: Callable[..., Any]) -> DatadogMetrics:
    provider: DatadogMetrics = build(DatadogMetrics)
    return provider


@pytest.fixture
def logs(build: Callable[..., Any]) -> DatadogLogs:
    provider: DatadogLogs = build(DatadogLogs)
    return provider


@pytest.fixture
def alerts(build: Callable[..., Any]) -> DatadogAlerts:
    provider: DatadogAlerts = build(DatadogAlerts)
    return provider


@pytest.fixture
def incidents(build: Callable[..., Any]) -> DatadogIncidents:
    provider: DatadogIncidents = build(DatadogIncidents)
    return provider


@pytest.fixture
def services(build: Callable[..., Any]) -> DatadogServices:
    provider: DatadogServices = build(DatadogServices)
    return provider

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.plugin import Call
from opsorch_plugins.prometheus import metrics
from opsorch_plugins.prometheus.provider import PrometheusAlerts, PrometheusMetrics
from tests.plugins.prometheus.support import ALERTMANAGER, NOW, PROMETHEUS


@pytest.fixture
def http() -> Iterator[requests_mock.Mocker]:
    """Every request that is not registered fails as unreachable."""
    with requests_mock.Mocker() as mocker:
        yield mocker


@pytest.fixture
def call() -> Call:
    return Call(Deadline.after(30.0))


@pytest.fixture
def fixed_now(monkeypatch: pytest.MonkeyPatch) -> datetime.datetime:
    """Make "now" of the metric provider a known moment."""
    monkeypatch.setattr(metrics, "now", lambda: NOW)
    return NOW


@pytest.fixture
def pauses() -> list[float]:
    """The waits between tries, instead of waiting."""
    return []


def _unhurried(upstream: Any, pauses: list[float]) -> None:
    upstream._sleep = pauses.append
    upstream._jitter = lambda: 0.0


@pytest.fixture
def metrics_of(pauses: list[float]) -> Callable[..., PrometheusMetrics]:
    """Build a metric provider that does not wait between tries."""

    def build(**config: Any) -> PrometheusMetrics:
        provider = PrometheusMetrics({"url": PROMETHEUS, **config})
        _unhurried(provider.prometheus.upstream, pauses)
        return provider

    return build


@pytest.fixture
def alerts_of(pauses: list[float]) -> Callable[..., PrometheusAlerts]:
    """Build an alert provider that does not wait between tries."""

    def build(**config: Any) -> PrometheusAlerts:
        provider = PrometheusAlerts({"alertmanagerURL": ALERTMANAGER, **config})
        for member in provider.alertmanager.members:
            _unhurried(member, pauses)
        if provider.pending:
            _unhurried(provider.pending.prometheus.upstream, pauses)
        return provider

    return build

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from opsorch_plugins.prometheus import metrics
from opsorch_plugins.prometheus.provider import PrometheusAlerts, PrometheusMetrics
from tests.plugins.prometheus.support import ALERTMANAGER, NOW, PROMETHEUS
from tests.plugins.support import unhurried


@pytest.fixture
def fixed_now(monkeypatch: pytest.MonkeyPatch) -> datetime.datetime:
    """Make "now" of the metric provider a known moment."""
    monkeypatch.setattr(metrics, "now", lambda: NOW)
    return NOW


@pytest.fixture
def metrics_of(pauses: list[float]) -> Callable[..., PrometheusMetrics]:
    """Build a metric provider that does not wait between tries."""

    def build(**config: Any) -> PrometheusMetrics:
        provider = PrometheusMetrics({"url": PROMETHEUS, **config})
        unhurried(provider.prometheus.upstream, pauses)
        return provider

    return build


@pytest.fixture
def alerts_of(pauses: list[float]) -> Callable[..., PrometheusAlerts]:
    """Build an alert provider that does not wait between tries."""

    def build(**config: Any) -> PrometheusAlerts:
        provider = PrometheusAlerts({"alertmanagerURL": ALERTMANAGER, **config})
        for member in provider.alertmanager.members:
            unhurried(member, pauses)
        if provider.pending:
            unhurried(provider.pending.prometheus.upstream, pauses)
        return provider

    return build

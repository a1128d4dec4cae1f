"""The provider classes, where entry points and the plugin launcher look for them."""

from opsorch_plugins.prometheus.alerts import PrometheusAlerts
from opsorch_plugins.prometheus.metrics import PrometheusMetrics

__all__ = ["PrometheusAlerts", "PrometheusMetrics"]

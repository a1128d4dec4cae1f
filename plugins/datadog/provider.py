"""The provider classes of this adapter."""

from opsorch_plugins.datadog.alerts import DatadogAlerts
from opsorch_plugins.datadog.incidents import DatadogIncidents
from opsorch_plugins.datadog.logs import DatadogLogs
from opsorch_plugins.datadog.metrics import DatadogMetrics
from opsorch_plugins.datadog.services import DatadogServices

__all__ = [
    "DatadogAlerts",
    "DatadogIncidents",
    "DatadogLogs",
    "DatadogMetrics",
    "DatadogServices",
]

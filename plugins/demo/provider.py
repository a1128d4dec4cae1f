"""The ten demo providers, one a capability."""

from opsorch_plugins.demo.alerts import DemoAlerts
from opsorch_plugins.demo.deployments import DemoDeployments
from opsorch_plugins.demo.incidents import DemoIncidents
from opsorch_plugins.demo.messaging import DemoMessaging
from opsorch_plugins.demo.orchestration import DemoOrchestration
from opsorch_plugins.demo.services import DemoServices
from opsorch_plugins.demo.teams import DemoTeams
from opsorch_plugins.demo.telemetry import DemoLogs, DemoMetrics
from opsorch_plugins.demo.tickets import DemoTickets

__all__ = [
    "DemoAlerts",
    "DemoDeployments",
    "DemoIncidents",
    "DemoLogs",
    "DemoMessaging",
    "DemoMetrics",
    "DemoOrchestration",
    "DemoServices",
    "DemoTeams",
    "DemoTickets",
]

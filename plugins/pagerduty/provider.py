"""The provider classes, where entry points and the plugin launcher look for them."""

from opsorch_plugins.pagerduty.incidents import PagerDutyIncidents
from opsorch_plugins.pagerduty.services import PagerDutyServices

__all__ = ["PagerDutyIncidents", "PagerDutyServices"]

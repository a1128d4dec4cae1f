"""Links that people open, into Datadog's user interface.

Sources: https://docs.datadoghq.com/logs/explorer/url/ for logs; the metrics explorer's and the
service page's parameters are not documented, so that each is written in one place only.
"""

import urllib.parse
from collections.abc import Mapping

from opsorch.plugin.urls import url_part
from opsorch_plugins.datadog.metric_query import MetricExpression
from opsorch_plugins.datadog.window import Window


def _with(page: str, parameters: Mapping[str, str]) -> str:
    return f"{page}?{urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)}"


def _shown(window: Window) -> dict[str, str]:
    return {"from_ts": str(window.start), "to_ts": str(window.end), "live": "false"}


def explorer_link(app: str, expression: MetricExpression, window: Window) -> str:
    """Link to a metric in the explorer; a query's own text is not among its parameters."""
    given = {
        "exp_metric": expression.metric,
        "exp_scope": expression.filters,
        "exp_agg": expression.aggregation,
        "exp_group": ",".join(expression.group_by),
    }
    shown = {name: value for name, value in given.items() if value}
    return _with(f"{app}/metric/explorer", {**shown, **_shown(window)})


def metric_link(app: str, name: str) -> str:
    """Link to a metric's summary."""
    return _with(f"{app}/metric/summary", {"metric": name})


def logs_link(app: str, query: str, window: Window) -> str:
    """Link to a log search and its time range."""
    return _with(f"{app}/logs", {"query": query, **_shown(window)})


def log_link(app: str, event_id: str) -> str:
    """Link to one log event."""
    return _with(f"{app}/logs", {"event": event_id})


def monitor_link(app: str, monitor_id: str) -> str:
    """Link to a monitor."""
    return f"{app}/monitors/{monitor_id}"


def incident_link(app: str, incident: str) -> str:
    """Link to an incident, by public id or UUID."""
    return f"{app}/incidents/{url_part(incident)}"


def service_link(app: str, name: str) -> str:
    """Link to a service."""
    return f"{app}/apm/services/{url_part(name)}"

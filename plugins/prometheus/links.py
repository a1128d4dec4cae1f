"""Links that people can open: a query in Prometheus, an alert in Alertmanager."""

import datetime
import math
import urllib.parse
from collections.abc import Mapping
from typing import Final

from opsorch.plugin.urls import url_part
from opsorch_plugins.prometheus.filters import filter_text
from opsorch_plugins.prometheus.window import Window

MAX_ALERT_LINK: Final = 1800
_STATES = "silenced=true&inhibited=true&active=true"


def graph_link(page: str, promql: str, window: Window, *, table: bool = False) -> str:
    """Link to a query on the graph page.

    Args:
        page: URL of the page, without a query.
        promql: The query.
        window: The range that is shown.
        table: Show the table, not the graph.
    """
    end = datetime.datetime.fromtimestamp(window.end, datetime.UTC)
    parameters = {
        "g0.expr": promql,
        "g0.tab": "1" if table else "0",
        "g0.range_input": f"{max(1, math.ceil(window.length_s))}s",
        "g0.end_input": end.strftime("%Y-%m-%d %H:%M:%S"),
    }
    return f"{page}?{urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)}"


def alert_link(base: str, labels: Mapping[str, str]) -> str:
    """Link to an alert on Alertmanager's page, found by its labels.

    A link that would be too long for some browsers and proxies names the alertname alone, or
    where that is not there or too long itself, nothing.
    """
    name = {"alertname": labels["alertname"]} if "alertname" in labels else {}
    links = (_alert_link(base, shown) for shown in (labels, name) if shown)
    fitting = (link for link in links if len(link) <= MAX_ALERT_LINK)
    return next(fitting, f"{base}/#/alerts?{_STATES}")


def _alert_link(base: str, labels: Mapping[str, str]) -> str:
    matchers = ",".join(filter_text(name, "=", labels[name]) for name in sorted(labels))
    return f"{base}/#/alerts?{_STATES}&filter={url_part(f'{{{matchers}}}')}"

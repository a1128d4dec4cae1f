"""The metric provider."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.payload import Json, scope_of, step_of
from opsorch.plugin.times import now
from opsorch.plugin.vendor import text_at
from opsorch_plugins.datadog.checks import checked
from opsorch_plugins.datadog.client import Datadog, data_of, time_for_more
from opsorch_plugins.datadog.links import explorer_link, metric_link
from opsorch_plugins.datadog.metric_mapping import Frame, descriptor_of, series_of
from opsorch_plugins.datadog.metric_query import MetricExpression, expression_of
from opsorch_plugins.datadog.settings import CONFIG, app_url, tag_keys
from opsorch_plugins.datadog.tags import scope_tags
from opsorch_plugins.datadog.window import Window, window_of

PAGE: Final = 1000
_QUERY_PATH: Final = "/api/v2/query/timeseries"
_LIST_PATH: Final = "/api/v2/metrics"


class DatadogMetrics(Provider):
    """Metric queries and descriptions."""

    name = "datadog"
    capability = "metric"
    config: ClassVar[ConfigSpec] = CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        scopes = "timeseries_query or metrics_read"
        self.datadog = Datadog(self.settings, self.redact, reads=scopes)
        self._app = app_url(self.settings)
        self._keys = tag_keys(self.settings)

    @rpc("metric.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer a MetricQuery with one series for each of Datadog's.

        Raises:
            BadRequest: The query does not fit, here or by Datadog's own word.
        """
        window = window_of(payload, self.settings["defaultLookbackSeconds"], now())
        step_ms = step_of(payload) * 1000
        expression = expression_of(payload, self._keys)
        body = self.datadog.search(
            _QUERY_PATH, _request(expression, window, step_ms), call, lenient=True
        )
        about: Json = {"source": self.settings["source"], "query": expression.query}
        if expression.scope_ignored:
            about["scopeIgnored"] = True
        url = explorer_link(self._app, expression, window)
        return series_of(body, Frame(expression.name, self._keys["service"], url, about, step_ms))

    @rpc("metric.describe")
    def describe_metrics(self, payload: Json, call: Call) -> list[Json]:
        """Answer a Scope with the metrics that had points in it lately."""
        scope = scope_of({"scope": payload})
        params = [("window[seconds]", str(self.settings["describeWindowSeconds"]))]
        if scope:
            params.append(("filter[tags]", " AND ".join(scope_tags(scope, self._keys))))
        source = self.settings["source"]
        return [
            descriptor_of(row, source, lambda name: metric_link(self._app, name))
            for row in self._listed(params, call)
        ]

    def check(self, call: Call) -> list[Check]:
        """Look at the API key, the list of metrics, and a query."""
        end = now()
        window = window_of({}, 60, end)
        request = _request(MetricExpression("avg:datadog.agent.running{*}", ""), window, 0)
        looks = (
            ("metrics_read", lambda: self.datadog.get(_LIST_PATH, call, [("page[size]", "1")])),
            ("timeseries_query", lambda: self.datadog.search(_QUERY_PATH, request, call)),
        )
        return checked(self.datadog, call, looks)

    def _listed(self, params: list[tuple[str, str]], call: Call) -> Iterator[Json]:
        """Yield the rows of the list by its cursor, until it ends, repeats, or enough came."""
        most: int = self.settings["maxResults"]
        cursor, seen, count = "", {""}, 0
        while True:
            size = min(PAGE, most - count)
            place = [("page[cursor]", cursor)] if cursor else []
            given = [*params, ("page[size]", str(size)), *place]
            body = self.datadog.get(_LIST_PATH, call, given)
            rows = [row for row in data_of(body) if row.get("id")]
            yield from rows[:size]
            count += len(rows)
            cursor = text_at(body, "meta", "pagination", "next_cursor")
            if cursor in seen or count >= most or not time_for_more(call):
                return
            seen.add(cursor)


def _request(expression: MetricExpression, window: Window, step_ms: int) -> Json:
    attributes: Json = {
        "from": window.start,
        "to": window.end,
        "queries": [{"data_source": "metrics", "name": "query1", "query": expression.query}],
    }
    if step_ms:
        attributes["interval"] = step_ms
    return {"data": {"type": "timeseries_request", "attributes": attributes}}

"""The metric provider: queries and descriptions by Prometheus' HTTP API."""

import datetime
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from opsorch.errors import OpsOrchError, ProviderError
from opsorch.observability.redact import redactor_for
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.connection import without_userinfo
from opsorch.plugin.payload import Json, flag_of, object_of, scope_of, whole_of
from opsorch.plugin.times import now
from opsorch_plugins.prometheus.client import Answer, Parameters, Prometheus
from opsorch_plugins.prometheus.expression import Expression, expression_of, scope_selector
from opsorch_plugins.prometheus.links import graph_link
from opsorch_plugins.prometheus.mapping import (
    SOURCE,
    Catalogue,
    Frame,
    attach_exemplars,
    descriptor_of,
    series_of,
)
from opsorch_plugins.prometheus.promql import Matcher, scope_matchers, selector
from opsorch_plugins.prometheus.settings import (
    METRIC_CONFIG,
    Settings,
    label_names,
    passwords_in_urls,
)
from opsorch_plugins.prometheus.window import Window, window_of

log = logging.getLogger("opsorch.plugin")

DESCRIBED_S: Final = 6 * 3600
# Thanos' and Mimir's own parameters, passed on where they are booleans.
_PASSED_ON: Final = ("dedup", "partial_response")


class PrometheusMetrics(Provider):
    """Metric queries against Prometheus, Mimir, Thanos, Cortex or VictoriaMetrics."""

    name = "prometheus"
    capability = "metric"
    config: ClassVar[ConfigSpec] = METRIC_CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        hidden = {"passwords": passwords_in_urls(self.settings)}
        self.redact = redactor_for({**config, **self.settings, **hidden})
        self.prometheus = Prometheus(self.settings, self.redact)
        self._graph_page = graph_page(self.settings)

    @rpc("metric.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer a MetricQuery with one series for each of Prometheus'.

        Raises:
            BadRequest: The query does not fit, here or by Prometheus' own word.
        """
        metadata = object_of(payload, "metadata")
        instant = bool(flag_of(metadata, "instant", where="metadata."))
        lookback_s = self.settings["defaultLookbackSeconds"]
        window = window_of(payload, lookback_s, now(), instant=instant)
        expression = expression_of(payload, self.settings, window.step_s)
        with_exemplars = flag_of(metadata, "exemplars", where="metadata.")
        max_series = self._max_series(metadata)
        path, parameters = _request(expression, window, metadata, instant=instant)
        timeout = ("timeout", f"{max(1, math.ceil(call.deadline.remaining()))}s")
        answer = self.prometheus.query(path, [*parameters, timeout], call)
        about = {
            "source": SOURCE,
            "query": expression.promql,
            "step": window.step_s,
            "warnings": answer.warnings,
            "infos": answer.infos,
            "instant": instant or None,
            "scopeIgnored": expression.scope_ignored or None,
        }
        url = graph_link(self._graph_page, expression.promql, window)
        service_label = label_names(self.settings)["service"]
        frame = Frame(expression.name, service_label, url, about, max_series)
        series = series_of(answer.data, frame)
        if with_exemplars and series:
            self._add_exemplars(series, expression, window, call.within_share(0.5))
        return series

    @rpc("metric.describe")
    def describe_metrics(self, payload: Json, call: Call) -> list[Json]:
        """Answer a Scope with the metrics that had samples in it within six hours."""
        scope = scope_of({"scope": payload})
        end = now()
        window = Window(end.timestamp() - DESCRIBED_S, end.timestamp(), 0)
        parameters = [*_bounds(window), *self._narrowing(scope)]
        answer = self.prometheus.get("/api/v1/label/__name__/values", parameters, call)
        names = _names(answer)
        # What the answer can do without gets a part of the time, so that there is an answer.
        catalogue = self._catalogue(call.within_share(0.5)) if names else Catalogue()
        labels = self._labels(names, scope, window, call.within_share(0.7))
        return [
            descriptor_of(name, catalogue, labels.get(name, []), self._link_to(name, end))
            for name in names
        ]

    def check(self, call: Call) -> list[Check]:
        """Ask for a constant: it needs the credentials and no data."""
        self.prometheus.query("/api/v1/query", [("query", "vector(1)")], call)
        return [Check("prometheus", ok=True, message=f"{self.prometheus.upstream.address} answers")]

    def _narrowing(self, scope: Mapping[str, str]) -> Parameters:
        """Return the ``match[]`` that keeps to the scope and the enforced matchers, if any."""
        matchers = scope_matchers(scope, label_names(self.settings))
        matchers += self.settings["enforcedMatchers"]
        if matchers and not any(matcher.excludes_empty for matcher in matchers):
            # Prometheus refuses a selector that a series without any of the labels passes.
            matchers.insert(0, Matcher("__name__", "!=", ""))
        return [("match[]", selector("", matchers))] if matchers else []

    def _max_series(self, metadata: Json) -> int:
        limit = whole_of(metadata, "limit", least=1, where="metadata.")
        most: int = self.settings["maxSeries"]
        return most if limit is None else min(limit, most)

    def _add_exemplars(
        self, series: Sequence[Json], expression: Expression, window: Window, call: Call
    ) -> None:
        """Add exemplars where the server has them; without them the answer is still one."""
        parameters = [("query", expression.promql), *_bounds(window)]
        try:
            answer = self.prometheus.query("/api/v1/query_exemplars", parameters, call)
        except OpsOrchError as error:
            log.warning("no exemplars: %s", error.message)
            for one in series:
                one["metadata"]["exemplarsError"] = error.message
            return
        attach_exemplars(series, answer.data)

    def _catalogue(self, call: Call) -> Catalogue:
        """Read types, help texts and units; without them metrics are of unknown type."""
        try:
            return Catalogue.of(self.prometheus.get("/api/v1/metadata", [], call).data)
        except OpsOrchError as error:
            log.warning("types of metrics are unknown: %s", error.message)
            return Catalogue()

    def _labels(
        self, names: Sequence[str], scope: Mapping[str, str], window: Window, call: Call
    ) -> dict[str, list[str]]:
        """List the labels of each metric, where there are few enough metrics to ask for each."""
        found: dict[str, list[str]] = {}
        if len(names) > self.settings["describeLabelLimit"]:
            return found
        for name in names:
            matching = scope_selector(name, scope, self.settings)
            parameters = [("match[]", matching), *_bounds(window)]
            try:
                labels = _names(self.prometheus.query("/api/v1/labels", parameters, call))
            except OpsOrchError as error:
                log.warning("labels of metrics are left out: %s", error.message)
                break
            found[name] = [label for label in labels if label != "__name__"]
        return found

    def _link_to(self, name: str, end: datetime.datetime) -> str:
        lookback_s = self.settings["defaultLookbackSeconds"]
        window = Window(end.timestamp() - lookback_s, end.timestamp(), 0)
        return graph_link(self._graph_page, selector(name), window, table=True)


def graph_page(settings: Settings) -> str:
    """Return the URL of the graph page as people reach it."""
    base = settings["externalURL"] or without_userinfo(settings["url"])[0]
    return f"{base}{settings['graphPath']}"


def _request(
    expression: Expression, window: Window, metadata: Json, *, instant: bool
) -> tuple[str, Parameters]:
    """Choose the path and the parameters of a query."""
    query = ("query", expression.promql)
    passed_on = [
        (name, str(metadata[name]).lower())
        for name in _PASSED_ON
        if isinstance(metadata.get(name), bool)
    ]
    if instant:
        return "/api/v1/query", [query, ("time", _seconds(window.end)), *passed_on]
    step = ("step", str(window.step_s))
    return "/api/v1/query_range", [query, *_bounds(window), step, *passed_on]


def _bounds(window: Window) -> Parameters:
    return [("start", _seconds(window.start)), ("end", _seconds(window.end))]


def _seconds(moment: float) -> str:
    return f"{moment:.3f}"


def _names(answer: Answer) -> list[str]:
    """Return the names that the answer lists; some servers write null for none."""
    if not isinstance(answer.data, list | None):
        raise ProviderError("Prometheus' answer holds no list of names")
    return [name for name in answer.data or [] if isinstance(name, str)]

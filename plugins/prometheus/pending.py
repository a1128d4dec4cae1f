"""Pending alerts, which only Prometheus knows: their rule's ``for`` has not passed yet.

Source: prometheus.io, "HTTP API", rules; "Alerting rules" for the series ``ALERTS``.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opsorch.observability.redact import Redactor
from opsorch.plugin import Call
from opsorch.plugin.payload import Json
from opsorch.plugin.vendor import objects_in
from opsorch_plugins.prometheus.alert_mapping import Reading, pending_of
from opsorch_plugins.prometheus.client import Prometheus
from opsorch_plugins.prometheus.filters import AlertFilter
from opsorch_plugins.prometheus.mapping import texts_of
from opsorch_plugins.prometheus.promql import Matcher, selector
from opsorch_plugins.prometheus.settings import Settings

Labels = frozenset[tuple[str, str]]


class PendingAlerts:
    """Reads the pending alerts of Prometheus' rules. Thread-safe."""

    def __init__(self, settings: Settings, redact: Redactor, reading: Reading) -> None:
        self.prometheus = Prometheus(settings, redact)
        self._reading = reading

    def alerts(self, asked: AlertFilter, call: Call) -> list[Json]:
        """List those that the query means; Prometheus knows no receivers."""
        if asked.receiver:
            return []
        entries = [entry for entry in self._entries(call) if asked.finds(entry[0])]
        if asked.matchers and entries:
            fitting = self._fitting(asked.matchers, call)
            entries = [entry for entry in entries if _identity(entry[0]) in fitting]
        return [pending_of(*entry, self._reading) for entry in entries]

    def find(self, fingerprint: str, call: Call) -> Json | None:
        """Return the one with this id, if it is still pending."""
        found = (pending_of(*entry, self._reading) for entry in self._entries(call))
        return next((alert for alert in found if alert["id"] == fingerprint), None)

    def _entries(self, call: Call) -> Iterator[tuple[Json, Json, str]]:
        """Yield alert, rule and name of the rule's group."""
        data = self.prometheus.get("/api/v1/rules", [("type", "alert")], call).data
        for group in objects_in(data, "groups"):
            for rule in objects_in(group, "rules"):
                for alert in objects_in(rule, "alerts"):
                    if alert.get("state") == "pending" and isinstance(alert.get("labels"), dict):
                        yield alert, rule, str(group.get("name") or "")

    def _fitting(self, matchers: Iterable[Matcher], call: Call) -> set[Labels]:
        """Ask Prometheus which label sets fit.

        Its regexes are RE2: linear in time, and the ones that Alertmanager applies. A regex of a
        caller must not run on a backtracking engine here.
        """
        pending = Matcher("alertstate", "=", "pending")
        parameters = [("query", selector("ALERTS", [pending, *matchers]))]
        data = self.prometheus.query("/api/v1/query", parameters, call).data
        return {_identity({"labels": entry.get("metric")}) for entry in objects_in(data, "result")}


def _identity(alert: Mapping[str, Any]) -> Labels:
    """Return the labels that tell an alert from others, the same in rules and in ALERTS."""
    labels = texts_of(alert.get("labels"))
    return frozenset((k, v) for k, v in labels.items() if k not in ("__name__", "alertstate"))

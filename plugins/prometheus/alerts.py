"""The alert provider: Alertmanager's alerts, and pending ones of Prometheus' rules."""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from opsorch.errors import NotFound, OpsOrchError, ProviderError
from opsorch.observability.redact import clean_text, redactor_for
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.connection import without_userinfo
from opsorch.plugin.payload import Json, flag_of, id_of, limit_of, object_of
from opsorch.plugin.urls import url_part
from opsorch.plugin.vendor import as_object
from opsorch_plugins.prometheus.alert_mapping import (
    Reading,
    alert_of,
    is_alert,
    newest_first,
    silence_of,
    ungrouped,
)
from opsorch_plugins.prometheus.client import Alertmanager, Parameters
from opsorch_plugins.prometheus.filters import FLAGS, AlertFilter, Severities, filter_of
from opsorch_plugins.prometheus.links import alert_link
from opsorch_plugins.prometheus.mapping import texts_of
from opsorch_plugins.prometheus.pending import PendingAlerts
from opsorch_plugins.prometheus.settings import (
    ALERT_CONFIG,
    label_names,
    passwords_in_urls,
)

log = logging.getLogger("opsorch.plugin")

MAX_ALERTS: Final = 10_000
# Each silence is a request of its own; an outage that silences more still gets its answer.
MAX_SILENCES: Final = 50
_FINGERPRINT = re.compile(r"[0-9a-fA-F]{16}")
# The groups endpoint has no flag "unprocessed": what is in a group has been processed.
_GROUP_FLAGS: Final = tuple(flag for flag in FLAGS if flag != "unprocessed")


class PrometheusAlerts(Provider):
    """Alerts of one Alertmanager, or of a cluster of them."""

    name = "prometheus"
    capability = "alert"
    config: ClassVar[ConfigSpec] = ALERT_CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        hidden = {"passwords": passwords_in_urls(self.settings)}
        self.redact = redactor_for({**config, **self.settings, **hidden})
        self.alertmanager = Alertmanager(self.settings, self.redact)
        self._severities = Severities.of(self.settings)
        self._reading = Reading(
            label_names(self.settings)["service"], self._severities, self._link_to
        )
        self.pending: PendingAlerts | None = None
        if self.settings["url"]:
            self.pending = PendingAlerts(self.settings, self.redact, self._reading)

    @rpc("alert.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer an AlertQuery, newest first.

        Raises:
            BadRequest: A status, matcher or flag is not understood.
        """
        asked = filter_of(payload, self.settings, self._severities)
        metadata = object_of(payload, "metadata")
        grouped = flag_of(metadata, "groups", where="metadata.")
        with_silences = flag_of(metadata, "silences", where="metadata.")
        limit = limit_of(payload, default=MAX_ALERTS, most=MAX_ALERTS)
        if asked.matches_nothing:
            return []
        entries = self._grouped(asked, call) if grouped else self._listed(asked, call)
        alerts = [alert_of(entry, self._reading) for entry in entries if asked.fits(entry)]
        if self.pending and asked.wants_pending:
            known = {alert["id"] for alert in alerts}
            found = self.pending.alerts(asked, call)
            alerts += [alert for alert in found if alert["id"] not in known]
        kept = newest_first(alerts)[:limit]
        if with_silences:
            self._add_silences(kept, call)
        return kept

    @rpc("alert.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Answer the alert of a fingerprint, in whatever state it is.

        Raises:
            NotFound: Alertmanager has no such alert (any more).
        """
        wanted = id_of(payload)
        missing = NotFound(f"alert {clean_text(wanted, 60)!r} not found")
        if not _FINGERPRINT.fullmatch(wanted):
            raise missing
        # No endpoint takes a fingerprint.
        entries = self._alerts(self.alertmanager.get("/api/v2/alerts", [], call))
        for entry in entries:
            if entry["fingerprint"].lower() == wanted.lower():
                return alert_of(entry, self._reading)
        found = self.pending.find(wanted.lower(), call) if self.pending else None
        if found is None:
            raise missing
        return found

    def check(self, call: Call) -> list[Check]:
        """Ask each member for its version; the same reply holds its configuration file."""
        members = self.alertmanager.members
        return [
            self._checked(i, member.address, call.within_share(1 / (len(members) - i)))
            for i, member in enumerate(members)
        ]

    def _checked(self, index: int, address: str, call: Call) -> Check:
        try:
            body = self.alertmanager.get_from(index, "/api/v2/status", [], call)
            about = texts_of(as_object(body).get("versionInfo"))
        except OpsOrchError as error:
            return Check("alertmanager", ok=False, message=error.message)
        known = clean_text(about.get("version", "of unknown version"), 60)
        return Check("alertmanager", ok=True, message=f"{address} answers, Alertmanager {known}")

    def _listed(self, asked: AlertFilter, call: Call) -> list[Json]:
        return self._alerts(self.alertmanager.get("/api/v2/alerts", asked.parameters(), call))

    def _grouped(self, asked: AlertFilter, call: Call) -> list[Json]:
        parameters: Parameters = asked.parameters(flags=_GROUP_FLAGS)
        body = self.alertmanager.get("/api/v2/alerts/groups", parameters, call)
        return ungrouped(self._list(body))

    def _alerts(self, body: Any) -> list[Json]:
        return [entry for entry in self._list(body) if is_alert(entry)]

    def _list(self, body: Any) -> list[Any]:
        if not isinstance(body, list):
            raise ProviderError("Alertmanager's answer is no list of alerts")
        return body

    def _add_silences(self, alerts: Iterable[Json], call: Call) -> None:
        """Add who silenced an alert, why and until when, as far as it can be had in time."""
        silences = self._silences(alerts, call.within_share(0.5))
        for alert in alerts:
            found = [silences[i] for i in _silenced_by(alert) if i in silences]
            if found:
                alert["fields"]["silences"] = found

    def _silences(self, alerts: Iterable[Json], call: Call) -> dict[str, Json]:
        ids = dict.fromkeys(i for alert in alerts for i in _silenced_by(alert))
        found: dict[str, Json] = {}
        for silence_id in list(ids)[:MAX_SILENCES]:
            path = f"/api/v2/silence/{url_part(silence_id)}"
            try:
                silence = silence_of(self.alertmanager.get(path, [], call))
            except OpsOrchError as error:
                log.warning("a silence cannot be read: %s", error.message)
                continue
            if silence:
                found[silence_id] = silence
        return found

    def _link_to(self, labels: Mapping[str, str]) -> str:
        configured = self.settings["alertmanagerExternalURL"]
        base = configured or without_userinfo(self.settings["alertmanagerURL"][0])[0]
        return alert_link(base, labels)


def _silenced_by(alert: Json) -> list[str]:
    ids: list[str] = alert.get("fields", {}).get("silencedBy", [])
    return ids

"""The incident provider."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, ClassVar, Final

from opsorch.errors import BadRequest
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.checks import Look, looked_at
from opsorch.plugin.payload import Json, id_of, input_of
from opsorch.plugin.times import now
from opsorch.plugin.vendor import text_in
from opsorch_plugins.pagerduty.changes import changed_incident, new_incident
from opsorch_plugins.pagerduty.checks import list_is_readable, service_exists, user_exists
from opsorch_plugins.pagerduty.client import PagerDuty, checked_id, object_of_reply
from opsorch_plugins.pagerduty.filters import filter_of
from opsorch_plugins.pagerduty.mapping import Reading, incident_of
from opsorch_plugins.pagerduty.settings import INCIDENT_CONFIG
from opsorch_plugins.pagerduty.timeline_mapping import note_of, timeline_of

# Incidents looked at where PagerDuty cannot filter, and log entries of a timeline.
MAX_SCANNED: Final = 1000
MAX_ENTRIES: Final = 1000
_WITH_BODY: Final = (("include[]", "body"),)


class PagerDutyIncidents(Provider):
    """Incidents of PagerDuty, their changes and their timelines."""

    name = "pagerduty"
    capability = "incident"
    config: ClassVar[ConfigSpec] = INCIDENT_CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.pagerduty = PagerDuty(self.settings, self.redact)
        by_priority = self.settings["severityFrom"] == "priority"
        self._reading = Reading(self.settings["source"], by_priority)

    @rpc("incident.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer an IncidentQuery, newest first.

        Raises:
            BadRequest: A word, time or id does not fit.
        """
        asked = filter_of(payload)
        parameters = asked.resolved(self.pagerduty, call)
        if parameters is None:
            return []
        here = asked.filters_here(self._reading)
        listed = self.pagerduty.items(
            "/incidents",
            "incidents",
            call,
            params=parameters,
            most=MAX_SCANNED if here else asked.limit,
            whole_pages=here,
        )
        fitting = (raw for raw in listed if asked.fits(raw, self._reading))
        return [incident_of(raw, self._reading) for raw in islice(fitting, asked.limit)]

    @rpc("incident.list")
    def list_all(self, payload: Json, call: Call) -> list[Json]:
        """Answer as a query without filters does."""
        return self.query({}, call)

    @rpc("incident.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Answer the incident of an id or number, with its description.

        Raises:
            NotFound: PagerDuty has no such incident.
        """
        return self._incident(checked_id(id_of(payload)), call)

    @rpc("incident.create")
    def create(self, payload: Json, call: Call) -> Json:
        """Create an incident; sent exactly once.

        Raises:
            BadRequest: The input does not fit, here or by PagerDuty's own word.
        """
        incident, requested = new_incident(payload, self.settings, self.pagerduty, call)
        reply = self.pagerduty.write("POST", "/incidents", "", {"incident": incident}, call)
        created = incident_of(object_of_reply(reply, "incident"), self._reading)
        if requested:
            created.setdefault("metadata", {})["requested_service"] = requested
        return created

    @rpc("incident.update")
    def update(self, payload: Json, call: Call) -> Json:
        """Change an incident; sent exactly once, and not at all where nothing changes.

        Raises:
            BadRequest: The input does not fit, here or by PagerDuty's own word.
            NotFound: PagerDuty has no such incident.
        """
        wanted = checked_id(id_of(payload))
        changes = changed_incident(input_of(payload), self.pagerduty, call)
        if not changes:
            return self._incident(wanted, call)
        path = f"/incidents/{self._id_of(wanted, call)}"
        body = {"incident": {"type": "incident_reference", **changes}}
        reply = self.pagerduty.write("PUT", path, wanted, body, call)
        return incident_of(object_of_reply(reply, "incident"), self._reading)

    @rpc("incident.timeline.get")
    def timeline(self, payload: Json, call: Call) -> list[Json]:
        """Answer the log entries of an incident, oldest first.

        Raises:
            NotFound: PagerDuty has no such incident.
        """
        wanted = checked_id(id_of(payload))
        entries = self.pagerduty.items(
            f"/incidents/{self._id_of(wanted, call)}/log_entries",
            "log_entries",
            call,
            params=[
                ("time_zone", "UTC"),
                ("is_overview", "false"),
                # Without it the channel of a note lacks the note. Source:
                # https://support.pagerduty.com/docs/retrieve-trigger-event-data-using-the-api
                ("include[]", "channels"),
            ],
            most=MAX_ENTRIES,
            owner=f"incident {wanted}",
        )
        return timeline_of(list(entries), wanted)

    @rpc("incident.timeline.append")
    def append(self, payload: Json, call: Call) -> Json:
        """Add a note to an incident; sent exactly once.

        Raises:
            BadRequest: The entry does not fit.
            NotFound: PagerDuty has no such incident.
        """
        wanted = checked_id(id_of(payload))
        content = note_of(input_of(payload, "entry", "input"), now())
        path = f"/incidents/{self._id_of(wanted, call)}/notes"
        self.pagerduty.write("POST", path, wanted, {"note": {"content": content}}, call)
        return {"status": "ok"}

    def check(self, call: Call) -> list[Check]:
        """Read an incident, the configured service, and the user in whose name changes are made."""
        pagerduty, settings = self.pagerduty, self.settings
        service, email = settings["serviceID"], settings["fromEmail"]
        return looked_at(
            [
                Look(
                    "incidents",
                    lambda: list_is_readable(pagerduty, "incidents", call),
                    needs="incidents.read",
                ),
                Look(
                    "serviceID",
                    lambda: service_exists(pagerduty, service, call),
                    needs="services.read",
                ),
                Look("fromEmail", lambda: user_exists(pagerduty, email, call), needs="users.read"),
            ]
        )

    def _incident(self, wanted: str, call: Call) -> Json:
        """Read an incident with its body; PagerDuty does not document how to ask for the body."""
        path = f"/incidents/{wanted}"
        try:
            raw = self.pagerduty.get("incident", path, wanted, call, params=_WITH_BODY)
        except BadRequest:
            raw = self.pagerduty.get("incident", path, wanted, call)
        return incident_of(raw, self._reading)

    def _id_of(self, wanted: str, call: Call) -> str:
        """Return the id of an incident that may be given by number, which only one path takes."""
        if not wanted.isdigit():
            return wanted
        raw = self.pagerduty.get("incident", f"/incidents/{wanted}", wanted, call)
        return text_in(raw, "id")

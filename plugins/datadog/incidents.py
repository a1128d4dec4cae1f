"""The incident provider."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar, Final

from opsorch.errors import BadRequest, NotFound
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.http import Reply
from opsorch.plugin.payload import Json, id_of, input_of
from opsorch.plugin.times import now
from opsorch.plugin.vendor import object_in, objects_in
from opsorch_plugins.datadog.checks import checked
from opsorch_plugins.datadog.client import Datadog, data_of, object_of_reply
from opsorch_plugins.datadog.incident_filter import filter_of
from opsorch_plugins.datadog.incident_input import (
    Properties,
    changed_attributes,
    created_attributes,
    unapplied,
)
from opsorch_plugins.datadog.incident_mapping import IncidentReading, incident_of
from opsorch_plugins.datadog.incident_words import Severities
from opsorch_plugins.datadog.settings import CONFIG, app_url, incident_fields
from opsorch_plugins.datadog.timeline import (
    cell_body,
    cells_path,
    entries_of_incident,
    entry_of_cell,
    entry_of_todo,
    note_of,
    oldest_first,
    todo_body,
    todos_path,
)

# Source: https://docs.datadoghq.com/api/latest/incidents/#get-a-list-of-incidents
PAGE: Final = 100
MAX_PAGES: Final = 10
_PATH: Final = "/api/v2/incidents"
_SEARCH_PATH: Final = f"{_PATH}/search"
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PUBLIC_ID = re.compile(r"[0-9]{1,18}")


class DatadogIncidents(Provider):
    """Incidents, their changes and their timelines."""

    name = "datadog"
    capability = "incident"
    config: ClassVar[ConfigSpec] = CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        settings = self.settings
        self.datadog = Datadog(
            settings, self.redact, reads="incident_read", writes="incident_write"
        )
        names = incident_fields(settings)
        severities = Severities(settings["incidentSeverityMap"])
        self._properties = Properties(names, severities, settings["incidentTypeUUID"] or "")
        self._reading = IncidentReading(settings["source"], app_url(settings), names, severities)

    @rpc("incident.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer an IncidentQuery, newest first.

        Raises:
            BadRequest: A word or the limit does not fit.
        """
        asked = filter_of(
            payload,
            self._properties.names,
            self._properties.severities,
            self.settings["defaultLimit"],
        )
        fitting = filter(asked.fits, self._listed(asked.search, call))
        return [incident_of(raw, self._reading) for raw in islice(fitting, asked.limit)]

    @rpc("incident.list")
    def list_all(self, payload: Json, call: Call) -> list[Json]:
        """Answer as a query without filters does."""
        return self.query({}, call)

    @rpc("incident.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Answer the incident of a UUID or public id.

        Raises:
            NotFound: Datadog has no such incident.
        """
        return incident_of(self._incident(_checked_id(payload), call), self._reading)

    @rpc("incident.create")
    def create(self, payload: Json, call: Call) -> Json:
        """Create an incident; sent exactly once.

        Raises:
            BadRequest: The input does not fit, here or by Datadog's own word.
        """
        attributes = created_attributes(payload, self._properties)
        body = {"data": {"type": "incidents", "attributes": attributes}}
        return self._written(self.datadog.write("POST", _PATH, body, call), attributes)

    @rpc("incident.update")
    def update(self, payload: Json, call: Call) -> Json:
        """Change an incident; sent exactly once.

        Raises:
            BadRequest: The input does not fit, or changes nothing.
            NotFound: Datadog has no such incident.
        """
        wanted = _checked_id(payload)
        attributes = changed_attributes(input_of(payload), self._properties)
        incident_id = self._uuid_of(wanted, call)
        body = {"data": {"type": "incidents", "id": incident_id, "attributes": attributes}}
        path = f"{_PATH}/{incident_id}"
        reply = self.datadog.write("PATCH", path, body, call, wanted=f"incident {wanted}")
        return self._written(reply, attributes)

    @rpc("incident.timeline.get")
    def timeline(self, payload: Json, call: Call) -> list[Json]:
        """Answer the timeline of an incident, oldest first.

        Raises:
            NotFound: Datadog has no such incident.
        """
        wanted = _checked_id(payload)
        incident_id = self._uuid_of(wanted, call)
        if self._may_have_cells:
            cells = self._cells(incident_id, wanted, call)
            if cells is not None:
                return oldest_first([entry_of_cell(cell, incident_id) for cell in data_of(cells)])
        path, name = todos_path(incident_id), f"incident {wanted}"
        todos = data_of(self.datadog.get(path, call, wanted=name))
        incident = self._incident(incident_id, call)
        entries = [entry_of_todo(todo, incident_id) for todo in todos]
        return oldest_first([*entries_of_incident(incident), *entries])

    @rpc("incident.timeline.append")
    def append(self, payload: Json, call: Call) -> Json:
        """Add a note to an incident; sent to each place that has none at most once.

        Raises:
            BadRequest: The entry does not fit.
            NotFound: Datadog has no such incident.
        """
        wanted = _checked_id(payload)
        content, at, important = note_of(input_of(payload, "entry", "input"), now())
        incident_id = self._uuid_of(wanted, call)
        if self._may_have_cells:
            cell = cell_body(content, at, important=important)
            path = cells_path(incident_id)
            if self.settings["timelineMode"] == "timeline":
                self.datadog.write("POST", path, cell, call, wanted=f"incident {wanted}")
                return {"status": "ok"}
            if self.datadog.write_if_there("POST", path, cell, call):
                return {"status": "ok"}
        # The path above was not there, so that nothing has been written yet.
        path = todos_path(incident_id)
        body = todo_body(content, at)
        self.datadog.write("POST", path, body, call, wanted=f"incident {wanted}")
        return {"status": "ok"}

    def check(self, call: Call) -> list[Check]:
        """Look at the API key, then for one incident."""
        params = [("page[size]", "1")]
        look = ("incident_read", lambda: self.datadog.get(_PATH, call, params))
        return checked(self.datadog, call, [look])

    @property
    def _may_have_cells(self) -> bool:
        return bool(self.settings["timelineMode"] != "todos")

    def _cells(self, incident_id: str, wanted: str, call: Call) -> Json | None:
        """Read the cells; None where the API has none and follow-ups may stand in."""
        path = cells_path(incident_id)
        if self.settings["timelineMode"] == "timeline":
            return self.datadog.get(path, call, wanted=f"incident {wanted}")
        return self.datadog.get_if_there(path, call)

    def _listed(self, search: str, call: Call) -> Iterator[Json]:
        """Yield incidents, of a search or all."""

        def page(_: int, offset: int) -> list[Any]:
            place = [("page[size]", str(PAGE)), ("page[offset]", str(offset))]
            if not search:
                return data_of(self.datadog.get(_PATH, call, place))
            return self._hits([("query", search), ("sort", "-created"), *place], call)

        return self.datadog.pages(page, call, size=PAGE, most=MAX_PAGES)

    def _hits(self, params: list[tuple[str, str]], call: Call) -> list[Json]:
        """Return the incidents of a page of search results, which nests them."""
        data = object_in(self.datadog.get(_SEARCH_PATH, call, params), "data")
        hits = objects_in(object_in(data, "attributes"), "incidents")
        return [object_in(hit, "data") for hit in hits]

    def _incident(self, wanted: str, call: Call) -> Json:
        """Read one incident, by UUID or public id.

        Raises:
            NotFound: Datadog has no such incident.
        """
        missing = NotFound(f"Datadog has no incident {wanted}")
        try:
            body = self.datadog.get(f"{_PATH}/{wanted}", call, wanted=f"incident {wanted}")
        except (NotFound, BadRequest):
            if not _PUBLIC_ID.fullmatch(wanted):
                raise
            # The path may not take public ids; that the search does is not documented.
            params = [("query", f"public_id:{wanted}"), ("page[size]", "2")]
            hits = self._hits(params, call)
            if len(hits) != 1:
                raise missing from None
            return hits[0]
        raw = object_in(body, "data")
        if not raw.get("id"):
            raise missing
        return raw

    def _uuid_of(self, wanted: str, call: Call) -> str:
        """Return the id that paths take."""
        return wanted if _UUID.fullmatch(wanted) else str(self._incident(wanted, call)["id"])

    def _written(self, reply: Reply, sent: Json) -> Json:
        raw = object_of_reply(reply)
        incident = incident_of(raw, self._reading)
        missing = unapplied(sent, object_in(raw, "attributes"), self._properties)
        if missing:
            incident["metadata"]["unapplied"] = missing
        return incident


def _checked_id(payload: Json) -> str:
    """Return an id that may stand in a path.

    Raises:
        NotFound: No incident can have it.
    """
    wanted = id_of(payload)
    if not _UUID.fullmatch(wanted) and not _PUBLIC_ID.fullmatch(wanted):
        raise NotFound("Datadog has no such incident: ids are UUIDs, public ids are numbers")
    return wanted

"""Carrying out an update: reads first, then the fields, then the status or a comment."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opsorch.errors import BadRequest, OpsOrchError
from opsorch.plugin import Call
from opsorch.plugin.payload import Json
from opsorch.plugin.vendor import object_in
from opsorch_plugins.jira import transitions
from opsorch_plugins.jira.client import Jira

log = logging.getLogger("opsorch.plugin")


@dataclass(frozen=True)
class StatusChange:
    """A transition that has been found fit.

    Attributes:
        transition: Jira's object.
        fields: Values for its screen.
    """

    transition: Json
    fields: Json

    @classmethod
    def to(
        cls, status: str, issue: str, fields: Json, resolution: Any, jira: Jira, call: Call
    ) -> "StatusChange | None":
        """Find the way to a status; None where the issue is there already. Writes nothing.

        Args:
            status: Name of a status or transition, or one of the words for a category.
            issue: Key or number.
            fields: What the update changes beside it.
            resolution: Name or object of Jira's, or None.
            jira: Asked for the transitions and, where it matters, the present state.
            call: Bounds the reads.

        Raises:
            BadRequest: No transition leads there, or its screen asks for more.
        """
        offered = jira.transitions(issue, call)
        found = transitions.find(status, offered)
        values = {**fields, **_resolution(resolution)}
        needed = transitions.open_requirements(found.transition, values) if found.transition else []
        if found.doubtful or needed:
            present = object_in(jira.issue(issue, ["status", *needed], call), "fields")
            if transitions.is_in(status, present.get("status")):
                return None
            needed = [each for each in needed if present.get(each) in (None, "", [], {})]
        if found.transition is None:
            raise transitions.unreachable(status, offered)
        if needed:
            raise transitions.missing_fields(found.transition, needed)
        return cls(found.transition, _screen_values(found.transition, fields, resolution))

    @property
    def takes_comment(self) -> bool:
        """Whether a comment can go with it: one without a screen drops it."""
        return self.transition.get("hasScreen") is not False

    def body(self, comment: Json | None) -> Json:
        """Return the request, with the comment where one is given."""
        body: Json = {"transition": {"id": str(self.transition.get("id"))}}
        if self.fields:
            body["fields"] = self.fields
        if comment is not None:
            body["update"] = {"comment": [{"add": {"body": comment}}]}
        return body


def _resolution(value: Any) -> Json:
    if value is None:
        return {}
    if isinstance(value, str) and value.strip():
        return {"resolution": {"name": value.strip()}}
    if isinstance(value, dict):
        return {"resolution": value}
    raise BadRequest("fields.resolution must be a name or an object")


def _screen_values(transition: Json, fields: Mapping[str, Any], resolution: Any) -> Json:
    """Choose what goes along: the resolution if the screen has it, and required fields."""
    screen = transitions.fields_on_screen(transition)
    values = {
        name: value
        for name, value in fields.items()
        if screen.get(name, {}).get("required") is True and value not in (None, "", [], {})
    }
    wanted = _resolution(resolution)
    if wanted and "resolution" not in screen:
        log.warning("jira: the screen of this status change has no resolution; it is left out")
        return values
    return {**values, **wanted}


@dataclass(frozen=True)
class Change:
    """All that one update does, in the order in which it is done."""

    issue: str
    fields: Json
    comment: Json | None
    status: StatusChange | None

    def apply(self, jira: Jira, call: Call) -> bool:
        """Write: fields, then status, then what is left of the comment. Each is sent once.

        Returns:
            Whether there was anything to write.

        Raises:
            OpsOrchError: A step failed; the message says which ones before it were saved.
        """
        inside = self.comment if self.status and self.status.takes_comment else None
        done: list[str] = []
        try:
            if self.fields:
                jira.edit(self.issue, self.fields, call)
                done.append("fields")
            if self.status:
                jira.transition(self.issue, self.status.body(inside), call)
                done.append("status")
            if self.comment is not None and inside is None:
                jira.comment(self.issue, self.comment, call)
                done.append("comment")
            return bool(done)
        except OpsOrchError as error:
            if done:
                error.message += f" (saved before it: {', '.join(done)})"
            raise

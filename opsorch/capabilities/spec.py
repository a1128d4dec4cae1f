"""What a capability is: a row of operations. Everything else derives from these rows."""

import dataclasses
import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opsorch.capabilities.fields import Schema, utc_now
from opsorch.capabilities.results import Result

Params = Mapping[str, str]
Arrange = Callable[[Params, dict[str, Any]], dict[str, Any]]

_PATH = re.compile(r"(/[a-z]+|/\{[A-Za-z]+\})+")


class Kind(enum.Enum):
    """Whether an operation may be repeated."""

    READ = "read"
    WRITE = "write"


READ, WRITE = Kind.READ, Kind.WRITE


def body_only(_params: Params, body: dict[str, Any]) -> dict[str, Any]:
    """Send the body as the payload."""
    return body


def params_only(params: Params, _body: dict[str, Any]) -> dict[str, Any]:
    """Send the path's parameters as the payload."""
    return dict(params)


def params_as(**names: str) -> Arrange:
    """Send the path's parameters as the payload, under other names."""
    return lambda params, _body: {names.get(name, name): value for name, value in params.items()}


def params_and_input(params: Params, body: dict[str, Any]) -> dict[str, Any]:
    """Send the path's parameters, and the body under ``input``."""
    return {**params, "input": body}


def params_and_entry(params: Params, body: dict[str, Any]) -> dict[str, Any]:
    """Send the body under ``entry`` and again under ``input``, which some released plugins read."""
    entry = {**body, "at": body.get("at") or utc_now()}
    return {**params, "entry": entry, "input": entry}


def params_and_body(params: Params, body: dict[str, Any]) -> dict[str, Any]:
    """Send the path's parameters and the body's fields side by side."""
    return {**body, **params}


@dataclass(frozen=True)
class Operation:
    """One RPC method and its route.

    Attributes:
        method: RPC method, for example ``incident.query``.
        verb: HTTP verb.
        path: Path with parameters in braces, named as the payload names them.
        result: What it answers.
        kind: READ may be repeated; WRITE is sent once.
        audit: Action in the audit log.
        summary: One line for people.
        body: Shape of the request body; None: a body is not looked at.
        query: Shape that the query string fills, text fields only.
        arrange: Makes the payload of the path's parameters and the checked body.
        status: HTTP status of success.
        empty_body: An empty body counts as ``{}``.
    """

    method: str
    verb: str
    path: str
    _: dataclasses.KW_ONLY
    result: Result
    kind: Kind
    audit: str
    summary: str
    body: Schema | None = None
    query: Schema | None = None
    arrange: Arrange = body_only
    status: int = 200
    empty_body: bool = False

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.path):
            raise ValueError(f"{self.method}: path {self.path!r} is not made of plain segments")
        if self.verb not in ("GET", "POST", "PATCH"):
            raise ValueError(f"{self.method}: verb {self.verb!r} is not offered to browsers")
        if self.verb == "GET" and (self.body is not None or self.kind is WRITE):
            raise ValueError(f"{self.method}: GET takes no body and changes nothing")


@dataclass(frozen=True)
class Capability:
    """A normalized area, such as incidents.

    Attributes:
        name: Canonical name: the RPC prefix, and CAP in OPSORCH_<CAP>_PLUGIN.
        plural: The other name that /providers/{capability} takes.
        summary: One line for people.
        operations: Its rows.
        aliases: Further names that /providers/{capability} takes.
    """

    name: str
    plural: str
    summary: str
    operations: tuple[Operation, ...]
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for operation in self.operations:
            if not operation.method.startswith(f"{self.name}."):
                raise ValueError(f"{operation.method} does not belong to {self.name}")

    @property
    def names(self) -> frozenset[str]:
        """Every name of it, lower case."""
        return frozenset({self.name, self.plural, *self.aliases})

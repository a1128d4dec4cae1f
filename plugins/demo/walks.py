"""The lines of requests: each walks down the dependencies and leaves one line per service."""

from dataclasses import dataclass
from typing import Final

from opsorch_plugins.demo.catalogue import SCENARIO_BY_ID
from opsorch_plugins.demo.causes import ORDINARY, STATUS_OF, signature_of
from opsorch_plugins.demo.lines import Json, Line, Minute, digest_of, share_of
from opsorch_plugins.demo.names import EXTERNAL
from opsorch_plugins.demo.routes import Hop, Route, Stream
from opsorch_plugins.demo.shapes import story_fields

# 2**64 divided by the golden ratio: multiples of it, modulo 2**64, spread evenly at any length.
_GOLDEN: Final = 0x9E3779B97F4A7C15
_WORD: Final = 2**64

_SLOW_S: Final = 1.0
_REFUSED_BELOW: Final = 0.02
_REFUSALS: Final = (404, 401, 409, 422)

# How long services without HTTP metrics take, in seconds.
_SWIFT: Final = {"svc-cache": 0.0008, "svc-feature-flags": 0.002}


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        luck: Its place in the even spread, from 0: the unluckiest fail.
        position: How slow it is among all, from 0 to 1.
    """

    route: Route
    digest: bytes
    trace_id: str
    begin_us: int
    luck: float
    position: float

    @property
    def path(self) -> str:
        """The path with its number."""
        number = int.from_bytes(self.digest[9:11], "big") % 9000 + 1000
        return self.route.path.replace("{n}", str(number))


def request_of(stream: Stream, week_s: int, index: int, minute: Minute) -> Request:
    """Return the request of a stream that has a number since Monday.

    Args:
        stream: Where it came in.
        week_s: The Monday.
        index: Its number.
        minute: When it came in.
    """
    place = minute.place
    where = "staging" if place.staging else ""
    digest = digest_of(place.world.seed, "request", stream.name, where, week_s, index)
    begin_us = minute.begin_s * 1_000_000 + int(share_of(digest, 0) * 60_000_000)
    spread = (int.from_bytes(stream.name.encode(), "big") + index * _GOLDEN) % _WORD
    return Request(
        route=stream.routes[index % len(stream.routes)],
        digest=digest,
        # As some tracers do, the first eight digits are the time: a trace is found without search.
        trace_id=f"{minute.begin_s:08x}{digest[20:].hex()}",
        begin_us=begin_us,
        luck=spread / _WORD,
        position=share_of(digest, 3),
    )


def lines_of(request: Request, minute: Minute, services: frozenset[str]) -> list[Line]:
    """Return the lines of a request, in rising time: each service writes when it is done.

    Args:
        request: What came in.
        minute: When.
        services: Whose lines are wanted.
    """
    walk = _Walk(request, minute, services)
    walk.visit(request.route.entry, request.begin_us)
    return walk.lines


class _Walk:
    def __init__(self, request: Request, minute: Minute, services: frozenset[str]) -> None:
        self.lines: list[Line] = []
        self._services = services
        self._visited = 0
        self._request = request
        self._minute = minute
        self._path = request.path
        self._request_id = f"req-{request.digest[11:17].hex()}"

    def visit(self, hop: Hop, begin_us: int) -> int:
        """Write the lines of a service and of all below it; return when it is done."""
        at_us = begin_us + 300
        for below in hop.below:
            at_us = self.visit(below, at_us) + 150
        number = self._visited
        self._visited += 1
        spread = self._request.digest[number] / 256
        position = 0.85 * self._request.position + 0.15 * spread
        took_s = _duration_s(hop.service, position, self._minute)
        end_us = max(begin_us + int(took_s * 1_000_000), at_us + 200)
        if hop.service in self._services:
            self.lines.append(self._line(hop.service, number, end_us, end_us - begin_us))
        return end_us

    def _line(self, service: str, number: int, at_us: int, took_us: int) -> Line:
        request, place = self._request, self._minute.place
        names = place.instances(service)
        status, error, cause = self._outcome(service)
        took_ms = took_us // 100 / 10
        fields: Json = {
            "path": self._path,
            "method": request.route.method,
            "status": status,
            "latencyMs": took_ms,
            "traceId": request.trace_id,
            "requestId": self._request_id,
        }
        told = f"{request.route.method} {self._path}"
        if error:
            fields["error"] = error
            fields |= story_fields(cause)
            severity, message = "error", f"{told} failed with {status}: {error}"
        else:
            message = f"{told} answered {status} in {took_ms:g} ms"
            slow = took_us >= _SLOW_S * 1_000_000
            severity = "warning" if slow or status >= 400 else "info"
        return Line(
            at_us,
            f"log-{request.trace_id}-{number:02}",
            service,
            place.environment,
            severity,
            message,
            names[request.digest[17] % len(names)],
            fields,
        )

    def _outcome(self, service: str) -> tuple[int, str, str]:
        """Return status and error of a service's part, and the scenario to blame."""
        request = self._request
        fault = self._minute.fault(service)
        if request.luck < fault.share:
            if fault.cause and request.luck >= fault.ordinary:
                error = signature_of(fault.cause)
                scenario = fault.cause if fault.cause in SCENARIO_BY_ID else ""
                return STATUS_OF.get(error, 500), error, scenario
            error = ORDINARY[request.digest[18] % len(ORDINARY)]
            return STATUS_OF.get(error, 500), error, ""
        # What a caller asks for in vain is refused where it came in.
        entry = service == request.route.entry.service
        if entry and share_of(request.digest, 6) < _REFUSED_BELOW:
            return _REFUSALS[request.digest[19] % len(_REFUSALS)], "", ""
        return 200, "", ""


def _duration_s(service: str, position: float, minute: Minute) -> float:
    """Return how long a service takes at a position among all requests; those below are apart."""
    if service == "svc-database":
        query_s = minute.value("db_query_duration_seconds", service, "database", "primary")
        return query_s * (0.5 + position)
    if service in _SWIFT:
        return _SWIFT[service] * (0.5 + position)
    took_s = minute.duration_s(service, position)
    waited_s = 0.0
    if service == "svc-payments" and position >= 0.5:
        waited_s = minute.value(EXTERNAL, service, "provider", "stripe")
    elif service == "svc-recommendation":
        waited_s = minute.value("model_inference_duration_seconds", service, "model", "ranker")
    return max(took_s, waited_s * (0.7 + 0.5 * position))

"""All lines of a world between two instants, the newest first, made minute by minute."""

import dataclasses
from collections.abc import Collection, Iterator
from typing import Final

from opsorch_plugins.demo.anomalies import strength_of
from opsorch_plugins.demo.background import background_of, complaint_line
from opsorch_plugins.demo.causes import COMPLAINTS, Complaint
from opsorch_plugins.demo.curves import Course, Flow, Product, Wave, Week, week_of, week_totals
from opsorch_plugins.demo.lines import Line, Minute, Place
from opsorch_plugins.demo.measures import REQUESTS
from opsorch_plugins.demo.routes import STREAMS, Stream, streams_of
from opsorch_plugins.demo.series import STAGING_SHARE, Observatory
from opsorch_plugins.demo.walks import lines_of, request_of
from opsorch_plugins.demo.world import World

MINUTE_S: Final = 60
MINUTE_US: Final = MINUTE_S * 1_000_000

_STREAM_BY_NAME: Final = {stream.name: stream for stream in STREAMS}


class Journal:
    """The lines of some services in some environments; made once a query."""

    def __init__(
        self, world: World, services: Collection[str], environments: Collection[str]
    ) -> None:
        observatory = Observatory(world)
        self._services = frozenset(services)
        self.places = {name: Place(observatory, name) for name in environments}
        self._sources = [_Source(place, self._services) for place in self.places.values()]

    def newest_first(self, start_us: int, end_us: int) -> Iterator[list[Line]]:
        """Yield the lines of one minute after the other, those before ``end_us`` only.

        The lines of a request reach into the minute after it began, never further.
        """
        first, last = start_us // MINUTE_US, (end_us - 1) // MINUTE_US
        later = self._lines(last)
        for number in range(last, first - 1, -1):
            begin_us = number * MINUTE_US
            earlier = self._lines(number - 1)
            until_us = min(end_us, begin_us + MINUTE_US)
            found = [line for line in earlier if begin_us <= line.at_us < until_us]
            found += [line for line in later if line.at_us < until_us]
            since_us = max(start_us, begin_us)
            found = [line for line in found if line.at_us >= since_us]
            found.sort(key=lambda line: (-line.at_us, line.id))
            yield found
            later = earlier

    def _lines(self, minute: int) -> list[Line]:
        return [line for source in self._sources for line in source.lines(minute * MINUTE_S)]


class _Source:
    """What writes lines in one place."""

    def __init__(self, place: Place, services: frozenset[str]) -> None:
        self._place = place
        self._services = services
        self._streams = [
            (stream, _Count(_rate_of(stream, place))) for stream in streams_of(services)
        ]
        complaints = [] if place.staging else COMPLAINTS
        self._complaints = [
            (complaint, _Count(_complaint_rate(complaint, place)))
            for complaint in complaints
            if complaint.service in services
        ]

    def lines(self, begin_s: int) -> Iterator[Line]:
        """Yield the lines of what began in one minute, in no order."""
        minute, week_s = Minute(self._place, begin_s), week_of(begin_s)
        for stream, count in self._streams:
            for index in count.within(week_s, begin_s):
                route = stream.routes[index % len(stream.routes)]
                if self._services.isdisjoint(route.services):
                    continue
                request = request_of(stream, week_s, index, minute)
                yield from lines_of(request, minute, self._services)
        for complaint, count in self._complaints:
            for index in count.within(week_s, begin_s):
                yield complaint_line(complaint, week_s, index, minute)
        for service in sorted(self._services):
            yield from background_of(service, minute)


class _Count:
    """How many things happen in a minute, given their rate: the whole numbers that it passes."""

    def __init__(self, rate: Course) -> None:
        self._rate = rate
        self._week: tuple[int, Week] | None = None
        self._known: dict[int, int] = {}

    def within(self, week_s: int, begin_s: int) -> range:
        """Return the numbers, since Monday, of what happens in the minute that begins then."""
        if self._week is None or self._week[0] != week_s:
            self._week, self._known = (week_s, week_totals(self._rate, week_s)), {}
        last = self._until(begin_s + MINUTE_S)
        first = self._until(begin_s)
        # Minutes are asked for one after the other, backwards: the next one ends where this began.
        self._known = {begin_s: first}
        return range(first, last)

    def _until(self, at_s: int) -> int:
        known = self._known.get(at_s)
        if known is not None:
            return known
        assert self._week is not None
        return int(self._week[1].at(at_s))


def _rate_of(stream: Stream, place: Place, per_minute: float | None = None) -> Flow:
    """Return how many requests a second of a stream leave lines, as its driver's traffic goes."""
    flow = place.flow(REQUESTS, stream.driver)
    share = STAGING_SHARE if place.staging else 1.0
    base = (stream.per_minute if per_minute is None else per_minute) / MINUTE_S
    return dataclasses.replace(flow, base=base * share)


def _complaint_rate(complaint: Complaint, place: Place) -> Product:
    """Return how many lines of a complaint are written a second: traffic times strength."""
    rate = _rate_of(_STREAM_BY_NAME[complaint.stream], place, complaint.per_minute)
    steady = Wave(place.world.seed, "", 0.0, 0.0, 0.0)
    return Product(rate, Flow(steady, 0.0, (strength_of(complaint.cause, place.world),)))

"""How numbers of the demo world move over time: the hour, the weekend, growth, noise, anomalies.

Everything is made of straight lines between instants five minutes apart, and of ramps, with the
four basic operations only: IEEE 754 gives the same bits for them on every host, and the integral
of such a course is exact. Instants are seconds since 1970.
"""

import functools
import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from opsorch_plugins.demo.world import hash_key

CELL_S: Final = 300
WEEK_S: Final = 7 * 86400
_CELLS_A_DAY: Final = 86400 // CELL_S
_FIRST_MONDAY_S: Final = 4 * 86400

_PEAK_HOUR, _TROUGH_HOUR = 14, 3
_QUIETEST, _BUSIEST = 0.5, 1.5
_WEEKEND: Final = 0.65
_GROWTH_A_DAY: Final = 0.0006
_GROWN_LEAST, _GROWN_MOST = 0.5, 1.5

# One digest of 64 bytes holds the noise of 32 instants.
_BLOCK: Final = 32


def week_of(at_s: float) -> int:
    """Return the begin of the week, Monday 00:00 UTC, in which an instant lies."""
    return int((at_s - _FIRST_MONDAY_S) // WEEK_S) * WEEK_S + _FIRST_MONDAY_S


def six_digits(value: float) -> float:
    """Round to six significant digits."""
    return float(f"{value:.6g}")


@dataclass(frozen=True, slots=True)
class Wave:
    """The ordinary course of a series relative to its base, around 1.

    Attributes:
        key: What tells its noise from that of other waves.
        anchor_s: The instant at which it has neither grown nor shrunk.
        sway: How much of the traffic's movement it shares: 1 all of it, 0 none.
        noise: Largest deviation by noise.
    """

    seed: str
    key: str
    anchor_s: float
    sway: float
    noise: float

    def level(self, cell: int) -> float:
        """Return the value at the begin of a cell of five minutes."""
        return self.trend(cell) * self.ripple(cell)

    def trend(self, cell: int) -> float:
        """Return what hour, weekday and growth make of it, without noise."""
        return 1.0 + self.sway * (traffic(cell, self.anchor_s) - 1.0) if self.sway else 1.0

    def ripple(self, cell: int) -> float:
        """Return what noise alone makes of it."""
        if not self.noise:
            return 1.0
        return 1.0 + self.noise * _noise(self.seed, self.key, cell // _BLOCK)[cell % _BLOCK]

    def at(self, at_s: float) -> tuple[float, float]:
        """Return the value at an instant, and what noise alone would make of it."""
        cell = int(at_s // CELL_S)
        share = (at_s - cell * CELL_S) / CELL_S
        before, after = self.ripple(cell), self.ripple(cell + 1)
        calm = before + (after - before) * share
        if not self.sway:
            return calm, calm
        low, high = self.trend(cell) * before, self.trend(cell + 1) * after
        return low + (high - low) * share, calm


@functools.lru_cache(maxsize=32768)
def traffic(cell: int, anchor_s: float) -> float:
    """Return the traffic of all services at the begin of a cell, around 1."""
    days = (cell * CELL_S - anchor_s) / 86400
    growth = min(_GROWN_MOST, max(_GROWN_LEAST, 1.0 + _GROWTH_A_DAY * days))
    # 1970 began on a Thursday.
    weekend = (cell // _CELLS_A_DAY + 3) % 7 >= 5
    return _DAILY[cell % _CELLS_A_DAY] * growth * (_WEEKEND if weekend else 1.0)


def _daily(cell: int) -> float:
    """Return the share of the hour: a smooth step up from trough to peak, and one down."""
    hour = (cell * CELL_S / 3600 - _TROUGH_HOUR) % 24
    rising = _PEAK_HOUR - _TROUGH_HOUR
    way = hour / rising if hour < rising else (24 - hour) / (24 - rising)
    return _QUIETEST + (_BUSIEST - _QUIETEST) * way * way * (3 - 2 * way)


_DAILY: Final = tuple(_daily(cell) for cell in range(_CELLS_A_DAY))


@functools.lru_cache(maxsize=8192)
def _noise(seed: str, key: str, block: int) -> tuple[float, ...]:
    """Return the noise, from -1 to 1, of the instants of one block."""
    text = f"{key}\x1f{block}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, key=hash_key(seed), digest_size=2 * _BLOCK).digest()
    pairs = zip(digest[::2], digest[1::2], strict=True)
    return tuple((high * 256 + low) / 32767.5 - 1.0 for high, low in pairs)


@dataclass(frozen=True, slots=True)
class Push:
    """What one cause does to one course: a rise, full strength, and a way back.

    Attributes:
        end_s: When the cause ended, None while it lasts.
        peak: The level at full strength; with ``factor`` what the value is multiplied by.
    """

    begin_s: float
    rise_s: float
    end_s: float | None
    recovery_s: float
    peak: float
    factor: bool = False

    def strength(self, at_s: float) -> float:
        """Return how strong the cause is, from 0 to 1."""
        if at_s <= self.begin_s:
            return 0.0
        if self.end_s is None or at_s <= self.end_s:
            return min(1.0, (at_s - self.begin_s) / self.rise_s)
        left = 1.0 - (at_s - self.end_s) / self.recovery_s
        return self.strength(self.end_s) * left if left > 0 else 0.0

    @property
    def over_s(self) -> float:
        """When nothing is left of it."""
        return math.inf if self.end_s is None else self.end_s + self.recovery_s

    @property
    def nodes(self) -> tuple[float, ...]:
        """The instants at which a straight line ends."""
        full_s = self.begin_s + self.rise_s
        ended = () if self.end_s is None else (self.end_s, self.over_s)
        return (self.begin_s, full_s, *ended)


@dataclass(frozen=True, slots=True)
class Flow:
    """The course of one series: its base, its wave, and what pushes it.

    Between ``nodes`` and the ends of cells it is a polynomial of second degree. Where two causes
    push at once the stronger one rules.
    """

    wave: Wave
    base: float
    pushes: tuple[Push, ...] = ()

    @property
    def nodes(self) -> tuple[float, ...]:
        """Instants at which the polynomial changes, beside the ends of cells."""
        return tuple(node for push in self.pushes for node in push.nodes)

    def at(self, at_s: float) -> float:
        """Return the value at an instant."""
        relative, calm = self.wave.at(at_s)
        value = self.base * relative
        shift = 0.0
        for push in self.pushes:
            strength = push.strength(at_s)
            if strength:
                target = value * push.peak if push.factor else push.peak * calm
                own = (target - value) * strength
                shift = own if abs(own) > abs(shift) else shift
        return value + shift

    def touched(self, cell: int) -> bool:
        """Tell whether anything pushes within a cell."""
        begin_s, end_s = cell * CELL_S, (cell + 1) * CELL_S
        return any(push.begin_s < end_s and begin_s < push.over_s for push in self.pushes)

    def quiet_cell(self, cell: int) -> float | None:
        """Return the integral over a cell that nothing touches, else None."""
        if self.touched(cell):
            return None
        level = self.wave.level
        return self.base * (level(cell) + level(cell + 1)) / 2 * CELL_S


@dataclass(frozen=True, slots=True)
class Product:
    """A rate of which only a share counts: requests that fail, traffic while a cause lasts."""

    rate: Flow
    share: Flow

    @property
    def nodes(self) -> tuple[float, ...]:
        """Instants at which the polynomial, of fourth degree at most, changes."""
        return (*self.rate.nodes, *self.share.nodes)

    def at(self, at_s: float) -> float:
        """Return the value at an instant."""
        return self.rate.at(at_s) * self.share.at(at_s)

    def quiet_cell(self, cell: int) -> float | None:
        """Return the integral over a cell where there is a short way to it, else None."""
        if not self.share.base and not self.share.touched(cell):
            return 0.0
        if self.rate.touched(cell) or self.share.touched(cell):
            return None
        begin, end = self.rate.wave.level(cell), self.rate.wave.level(cell + 1)
        low, high = self.share.wave.level(cell), self.share.wave.level(cell + 1)
        # The integral of the product of two straight lines.
        mean = (2 * begin * low + begin * high + end * low + 2 * end * high) / 6
        return self.rate.base * self.share.base * mean * CELL_S


Course = Flow | Product


@dataclass(frozen=True, slots=True)
class Piece:
    """The integral of a course over a span in which it is one polynomial.

    Attributes:
        terms: Factors of the first to the fifth power of the way through the span, in quarters.
    """

    begin_s: float
    span_s: float
    terms: tuple[float, float, float, float, float]

    @classmethod
    def of(cls, course: Course, begin_s: float, end_s: float) -> "Piece":
        """Take the polynomial of fourth degree through five values, by Newton's differences."""
        span_s = end_s - begin_s
        row = [course.at(begin_s + span_s * quarter / 4) for quarter in range(5)]
        first = [row[0]]
        while len(row) > 1:
            row = [after - before for before, after in itertools.pairwise(row)]
            first.append(row[0])
        f, d1, d2, d3, d4 = first
        terms = (
            f,
            d1 / 2 - d2 / 4 + d3 / 6 - d4 / 8,
            d2 / 6 - d3 / 6 + d4 * 11 / 72,
            d3 / 24 - d4 / 16,
            d4 / 120,
        )
        return cls(begin_s, span_s, terms)

    def until(self, at_s: float) -> float:
        """Return the integral from the begin of the span to an instant; its whole if later."""
        if at_s <= self.begin_s:
            return 0.0
        way = min(4.0, (at_s - self.begin_s) / self.span_s * 4)
        a, b, c, d, e = self.terms
        return way * (a + way * (b + way * (c + way * (d + way * e)))) * self.span_s / 4


def pieces_of(course: Course, cell: int) -> tuple[Piece, ...]:
    """Return the pieces of a course in one cell."""
    begin_s, end_s = float(cell * CELL_S), float((cell + 1) * CELL_S)
    inner = sorted({node for node in course.nodes if begin_s < node < end_s})
    bounds = itertools.pairwise((begin_s, *inner, end_s))
    return tuple(Piece.of(course, low_s, high_s) for low_s, high_s in bounds)


@functools.lru_cache(maxsize=512)
def week_totals(course: Course, week_s: int) -> "Week":
    """Return the running total of a rate in the week that begins at an instant."""
    return Week(course, week_s)


class Week:
    """The running total of a rate at the cells of one week, computed as far as it was asked."""

    def __init__(self, course: Course, week_s: int) -> None:
        self._course = course
        self._first = week_s // CELL_S
        self._totals = [0.0]
        # The cell in which the last instant lay: mostly the next one does, too.
        self._last: tuple[int, tuple[Piece, ...]] = (-1, ())

    def at(self, at_s: float) -> float:
        """Return the total from the begin of the week to an instant in it, or its end."""
        cell = int(at_s // CELL_S)
        total = self._until(cell - self._first)
        if at_s <= cell * CELL_S:
            return total
        known, pieces = self._last
        if known != cell or not pieces:
            pieces = pieces_of(self._course, cell)
            self._last = (cell, pieces)
        for piece in pieces:
            total += piece.until(at_s)
        return total

    def _until(self, count: int) -> float:
        totals = self._totals
        if len(totals) <= count:
            # Two threads may do this at once: each builds its own list, from equal numbers.
            longer = list(totals)
            for cell in range(self._first + len(longer) - 1, self._first + count):
                longer.append(longer[-1] + self._cell(cell))
            self._totals = totals = longer
        return totals[count]

    def _cell(self, cell: int) -> float:
        quiet = self._course.quiet_cell(cell)
        if quiet is not None:
            return quiet
        total = 0.0
        for piece in pieces_of(self._course, cell):
            total += piece.until((cell + 1) * CELL_S)
        return total


def increase(course: Course, begin_s: float, end_s: float) -> float:
    """Return the integral of a rate between two instants."""
    total, week_s = 0.0, week_of(begin_s)
    while week_s < end_s:
        week = week_totals(course, week_s)
        low, high = max(begin_s, week_s), min(end_s, week_s + WEEK_S)
        total += week.at(high) - week.at(low)
        week_s += WEEK_S
    return total


def since_resets(course: Course, times: Sequence[float], resets: Sequence[float]) -> list[float]:
    """Return what a counter of this rate shows at each of some rising times.

    Args:
        course: The rate per second.
        times: When it is read, rising.
        resets: When it starts at 0 beside every Monday 00:00 UTC, rising.
    """
    shown: list[float] = []
    week, known_reset_s, before = None, -math.inf, 0.0
    for at_s, reset_s in zip(times, _last_resets(times, resets), strict=True):
        if week is None or reset_s != known_reset_s:
            week, known_reset_s = week_totals(course, week_of(at_s)), reset_s
            before = week.at(reset_s)
        shown.append(week.at(at_s) - before)
    return shown


def _last_resets(times: Sequence[float], resets: Sequence[float]) -> Iterator[float]:
    done = 0
    for at_s in times:
        while done < len(resets) and resets[done] <= at_s:
            done += 1
        monday_s = week_of(at_s)
        yield max(monday_s, resets[done - 1]) if done else monday_s

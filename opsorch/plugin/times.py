"""Times as the contract has them: RFC 3339 in UTC with ``Z``, every digit of the fraction kept."""

import datetime
import re
from collections.abc import Mapping
from typing import Any, Final

from opsorch.errors import BadRequest

ZERO_TIME = "0001-01-01T00:00:00Z"
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII
)
# Vendors also write ISO 8601's shorter offsets: +0200, +02.
_ISO8601 = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d(?::?\d\d)?)",
    re.IGNORECASE | re.ASCII,
)


# The first moment that a datetime can hold.
_EARLIEST: Final = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def given_time(
    payload: Mapping[str, Any], name: str, *, where: str = ""
) -> datetime.datetime | None:
    """Return a time of the payload in UTC, or None where it is not given.

    Absent, null, "" and the zero time of Go mean "not given". Digits beyond microseconds are cut.

    Raises:
        BadRequest: It is no RFC 3339 time; names the field.
    """
    value = payload.get(name)
    if value is None or value in ("", ZERO_TIME):
        return None
    try:
        if not isinstance(value, str):
            raise ValueError("not a string")
        moment = parse_time(value)
    except ValueError as exc:
        raise BadRequest(f"{where}{name} must be an RFC 3339 time with a zone") from exc
    return None if moment.year == 1 else moment


def given_range(
    payload: Mapping[str, Any], lookback_s: int, now: datetime.datetime
) -> tuple[datetime.datetime, datetime.datetime]:
    """Return ``start`` and ``end`` of a query; whether they fit together is not looked at.

    Args:
        payload: The query.
        lookback_s: Seconds between them where no start is given.
        now: The end where none is given.

    Raises:
        BadRequest: One is no RFC 3339 time; names the field.
    """
    end = given_time(payload, "end") or now
    start = given_time(payload, "start")
    if start is None:
        try:
            start = end - datetime.timedelta(seconds=lookback_s)
        except OverflowError:
            start = _EARLIEST
    return start, end


def parse_time(value: str) -> datetime.datetime:
    """Parse an RFC 3339 time to UTC; digits beyond microseconds are cut.

    Raises:
        ValueError: It is none.
    """
    match = _RFC3339.fullmatch(value.strip())
    if match is None:
        raise ValueError("no RFC 3339 time")
    date, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone in "Zz" else zone
    text = f"{date}T{clock}{(fraction or '')[:7]}{offset}"
    try:
        return datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except OverflowError as exc:
        raise ValueError("in UTC the time is outside the years 1 to 9999") from exc


def format_time(moment: datetime.datetime) -> str:
    """Write a time in UTC with ``Z``; microseconds only where there are some."""
    text = moment.astimezone(datetime.UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if '.' in text else text}Z"


def from_epoch(seconds: float) -> str:
    """Write Unix seconds as a UTC time; milliseconds only where they are not zero.

    Raises:
        ValueError: It is no number, or outside the years 1 to 9999.
    """
    try:
        whole, millis = divmod(round(seconds * 1000), 1000)
        moment = datetime.datetime.fromtimestamp(whole, datetime.UTC)
    except (OverflowError, OSError) as exc:
        raise ValueError("no Unix time of the years 1 to 9999") from exc
    return format_time(moment.replace(microsecond=millis * 1000))


def epoch_time(value: Any, *, per_second: int = 1) -> str | None:
    """Write a vendor's Unix time as a UTC time, None for what is none.

    Args:
        value: A number.
        per_second: 1000 where it counts milliseconds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return from_epoch(value / per_second)
    except (ValueError, OverflowError):
        return None


def vendor_time(value: Any) -> str:
    """Turn a vendor's ISO 8601 text into UTC with ``Z``, fraction kept digit by digit.

    Whatever is no time, null included, becomes the zero time: one odd field must not cost the
    whole list.
    """
    if not isinstance(value, str):
        return ZERO_TIME
    match = _ISO8601.fullmatch(value.strip())
    if match is None:
        return ZERO_TIME
    date, clock, fraction, zone = match.groups()
    try:
        offset = "+00:00" if zone in "Zz" else zone
        moment = datetime.datetime.fromisoformat(f"{date}T{clock}{offset}")
        moment = moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return ZERO_TIME
    digits = (fraction or "").rstrip("0").rstrip(".")
    return f"{moment.replace(tzinfo=None).isoformat()}{digits}Z"


def time_order(time: Any) -> str:
    """Return what sorts times of ours, whatever the length of their fractions.

    Without its Z, a time with a fraction sorts behind the same time without one.
    """
    return str(time).removesuffix("Z")


def now() -> datetime.datetime:
    """Return the present time in UTC."""
    return datetime.datetime.now(datetime.UTC)

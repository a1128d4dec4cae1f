"""Times: what is taken, what is written, and that no digit is lost."""

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsorch.errors import BadRequest
from opsorch.plugin.times import (
    ZERO_TIME,
    epoch_time,
    format_time,
    from_epoch,
    given_range,
    given_time,
    now,
    parse_time,
    time_order,
    vendor_time,
)

UTC = datetime.UTC


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-06T07:08:09Z", datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        (" 2024-05-06t07:08:09z ", datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06T07:08:09.5+02:00", datetime.datetime(2024, 5, 6, 5, 8, 9, 500_000, UTC)),
        ("2024-05-06T07:08:09.123456789Z", datetime.datetime(2024, 5, 6, 7, 8, 9, 123_456, UTC)),
    ],
)
def test_times_are_read_to_utc(text: str, moment: datetime.datetime) -> None:
    """With any offset and fraction."""
    assert parse_time(text) == given_time({"at": text}, "at") == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2024-05-06",
        "2024-05-06 07:08:09Z",
        "2024-05-06T07:08:09",
        "2024-13-06T07:08:09Z",
        "2024-05-06T24:08:09Z",
        "2024-05-06T07:08:60Z",
        "2024-05-06T07:08:09+99:99",
        "2024-05-06T07:08:09.Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "\u0662024-05-06T07:08:09Z",
    ],
)
def test_what_is_no_time(text: str) -> None:
    """It is a ValueError here, bad_request in a payload, and the zero time in a vendor's data."""
    with pytest.raises(ValueError):  # noqa: PT011  some of the texts are datetime's own
        parse_time(text)
    if text:
        with pytest.raises(BadRequest, match="at must be an RFC 3339 time with a zone"):
            given_time({"at": text}, "at")
    assert vendor_time(text) == ZERO_TIME


@pytest.mark.parametrize("value", [None, "", ZERO_TIME, "0001-01-01T00:00:00.000Z"])
def test_times_not_given(value: Any) -> None:
    """Go sends the zero time for those."""
    assert given_time({"at": value}, "at") is None
    assert given_time({}, "at") is None


@pytest.mark.parametrize("value", [0, 5.5, True, [], {}])
def test_times_of_another_kind(value: Any) -> None:
    """They are refused by name, and cost only themselves in a vendor's data."""
    with pytest.raises(BadRequest, match="at must be"):
        given_time({"at": value}, "at")
    assert vendor_time(value) == ZERO_TIME


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_714_975_200, "2024-05-06T06:00:00Z"),
        (1_714_975_200.25, "2024-05-06T06:00:00.25Z"),
        (-0.5, "1969-12-31T23:59:59.5Z"),
        (0.9999, "1970-01-01T00:00:01Z"),
    ],
)
def test_unix_times(seconds: float, text: str) -> None:
    """Milliseconds only where there are some."""
    assert from_epoch(seconds) == text


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e300, -1e15, 1e15])
def test_unix_times_of_no_year(seconds: float) -> None:
    """One kind of error for all of them."""
    with pytest.raises(ValueError):  # noqa: PT011  some of the texts are datetime's own
        from_epoch(seconds)


@pytest.mark.parametrize(
    ("given_text", "written"),
    [
        ("2024-05-06T07:08:09.123456789Z", "2024-05-06T07:08:09.123456789Z"),
        ("2024-05-06T07:08:09.120+02:00", "2024-05-06T05:08:09.12Z"),
        ("2024-05-06T07:08:09.000Z", "2024-05-06T07:08:09Z"),
        ("2024-01-01T01:00:00+02:00", "2023-12-31T23:00:00Z"),
    ],
)
def test_a_vendors_times(given_text: str, written: str) -> None:
    """In UTC, every digit that says something kept."""
    assert vendor_time(given_text) == written


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read_again(moment: datetime.datetime) -> None:
    """To the microsecond."""
    text = format_time(moment)
    assert text.endswith("Z")
    assert parse_time(text) == moment
    assert parse_time(vendor_time(text)) == moment


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_the_zero_time(text: str) -> None:
    """Nothing a vendor sends is an exception."""
    assert vendor_time(text).endswith("Z")


def test_now_is_in_utc() -> None:
    """So that it may be compared with what was given."""
    assert now().tzinfo is UTC
    assert format_time(now().astimezone(datetime.timezone(datetime.timedelta(hours=5))))[-1] == "Z"


NOON = datetime.datetime(2024, 5, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ({}, "2024-05-06T11:00:00Z", "2024-05-06T12:00:00Z"),
        ({"start": "2024-05-01T00:00:00Z"}, "2024-05-01T00:00:00Z", "2024-05-06T12:00:00Z"),
        ({"end": "2024-05-01T00:00:00Z"}, "2024-04-30T23:00:00Z", "2024-05-01T00:00:00Z"),
        (
            {"start": "2024-05-02T00:00:00+02:00", "end": "2024-05-01T00:00:00Z"},
            "2024-05-01T22:00:00Z",
            "2024-05-01T00:00:00Z",
        ),
    ],
)
def test_a_range_has_two_ends(query: dict[str, Any], start: str, end: str) -> None:
    """What is not given has its default; the order is the caller's to judge."""
    assert [*map(format_time, given_range(query, 3600, NOON))] == [start, end]


def test_a_range_begins_with_the_first_moment_at_the_soonest() -> None:
    """A lookback that reaches beyond it is no fault of the query."""
    start, _ = given_range({"end": "0002-01-01T00:00:00Z"}, 500 * 24 * 3600, NOON)
    assert format_time(start) == ZERO_TIME


def test_a_range_of_no_times_is_refused() -> None:
    """By the field's name."""
    with pytest.raises(BadRequest, match="start must be an RFC 3339 time"):
        given_range({"start": "noon"}, 3600, NOON)


def test_a_time_is_refused_with_its_place() -> None:
    """A field of metadata is named as such."""
    with pytest.raises(BadRequest, match=r"^metadata\.since must be an RFC 3339 time"):
        given_time({"since": "noon"}, "since", where="metadata.")


@pytest.mark.parametrize(
    ("value", "per_second", "text"),
    [
        (1_714_975_200, 1, "2024-05-06T06:00:00Z"),
        (1_714_975_200_250, 1000, "2024-05-06T06:00:00.25Z"),
        (True, 1, None),
        ("1714975200", 1, None),
        (None, 1, None),
        (float("nan"), 1, None),
        (10**400, 1000, None),
    ],
)
def test_unix_times_of_vendors(value: Any, per_second: int, text: str | None) -> None:
    """What is none costs itself alone."""
    assert epoch_time(value, per_second=per_second) == text


def test_times_are_ordered_whatever_their_fractions() -> None:
    """Without its Z, the time with a fraction is the later one."""
    times = ["2024-05-06T07:08:09.5Z", "2024-05-06T07:08:09Z", "2024-05-06T07:08:09.25Z"]
    assert sorted(times, key=time_order) == [times[1], times[2], times[0]]

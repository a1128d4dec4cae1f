"""Times as vendors write them."""

from typing import Any

import pytest

from opsorch.plugin.times import ZERO_TIME, vendor_time


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2015-10-06T21:30:42Z", "2015-10-06T21:30:42Z"),
        ("2015-10-06T21:30:42.120+02:00", "2015-10-06T19:30:42.12Z"),
        ("2015-10-06T21:30:42.120+0200", "2015-10-06T19:30:42.12Z"),
        ("2015-10-06T21:30:42-05", "2015-10-07T02:30:42Z"),
        ("2015-10-06T21:30:42.123456789z", "2015-10-06T21:30:42.123456789Z"),
        ("2015-10-06T21:30:42", ZERO_TIME),
        ("2015-10-06T21:30:42+99:00", ZERO_TIME),
        ("2015-10-06T21:30:42+020", ZERO_TIME),
        ("0001-01-01T00:00:00+02:00", ZERO_TIME),
        ("soon", ZERO_TIME),
        (5, ZERO_TIME),
        (None, ZERO_TIME),
    ],
)
def test_a_time_of_any_offset_is_told_in_utc(value: Any, expected: str) -> None:
    """What is no time is the zero time; the fraction keeps its digits."""
    assert vendor_time(value) == expected

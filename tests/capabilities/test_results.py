"""Results: the schema boundary, zero values, times, exact numbers, tolerance."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsorch.capabilities import fields as f
from opsorch.capabilities.incident import Incident
from opsorch.capabilities.log import LogEntries
from opsorch.capabilities.metric import MetricDescriptor, MetricSeries
from opsorch.capabilities.orchestration import OrchestrationRun
from opsorch.capabilities.results import (
    IGNORED,
    Result,
    codec_of,
    many,
    normal_time,
    one,
    struct_of,
)
from opsorch.capabilities.team import Team
from opsorch.errors import ProviderError

ZERO = f.ZERO_TIME
INCIDENT = {
    "id": "i",
    "title": "t",
    "status": "open",
    "severity": "sev1",
    "createdAt": "2026-03-01T10:00:00Z",
    "updatedAt": "2026-03-01T10:00:00.123456789Z",
}


def converted(result: Result, raw: Any) -> Any:
    data = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return json.loads(result.convert(data))


def test_a_whole_object_passes_with_its_nanoseconds() -> None:
    assert converted(one(Incident), INCIDENT) == INCIDENT


def test_absent_members_get_zero_values_or_stay_out() -> None:
    assert converted(one(Incident), {"id": "i"}) == {
        "id": "i",
        "title": "",
        "status": "",
        "severity": "",
        "createdAt": ZERO,
        "updatedAt": ZERO,
    }


def test_unknown_keys_are_dropped_and_empty_ones_left_out() -> None:
    more = {"vendorOnly": [1, {"deep": None}], "service": "", "metadata": {}, "url": None}
    assert converted(one(Incident), {**INCIDENT, **more}) == INCIDENT


def test_bags_pass_exactly() -> None:
    raw = b'{"id":"i","metadata":{"big":123456789012345678901234567890,"f":1.0,"e":1e21,"n":null}}'
    assert b'"metadata":{"big":123456789012345678901234567890,"f":1.0,"e":1e21,"n":null}' in one(
        Incident
    ).convert(raw)


@pytest.mark.parametrize("raw", [b"null", b" null ", b" \r\n\t null\n", b"", b"  "])
def test_a_null_list_is_empty(raw: bytes) -> None:
    assert many(Incident).convert(raw) == b"[]\n"


def test_a_list_behind_blanks_is_no_null() -> None:
    assert converted(many(Incident), b"      " + json.dumps([INCIDENT]).encode()) == [INCIDENT]


@pytest.mark.parametrize("raw", [b"null", b"   null", b""])
def test_a_null_object_is_the_providers_error(raw: bytes) -> None:
    with pytest.raises(ProviderError, match="null where an object belongs"):
        one(Incident).convert(raw)


def test_a_wrapped_list_and_an_ignored_result() -> None:
    descriptor = {"name": "m", "type": "", "description": "", "labels": []}
    assert converted(
        many(MetricDescriptor, wrapped="metrics"), [{"name": "m", "labels": None}]
    ) == {"metrics": [descriptor]}
    assert IGNORED.convert(b"anything") == b'{"status":"ok"}\n'


def test_nested_lists_are_never_null() -> None:
    assert converted(one(LogEntries), {"entries": None}) == {"entries": []}
    assert converted(many(MetricSeries), [{"name": "m", "points": None, "labels": None}]) == [
        {"name": "m", "points": []}
    ]
    run = converted(one(OrchestrationRun), {"id": "r", "steps": [{"stepId": "s", "actor": None}]})
    assert run["steps"] == [{"stepId": "s", "status": ""}]
    assert run["scope"] == {}


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z"),
        ("2026-03-01T12:00:00.123456789012+02:00", "2026-03-01T10:00:00.123456789012Z"),
        ("2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00Z"),
        ("", ZERO),
        (None, ZERO),
        ("2024-02-29T10:00:00Z", "2024-02-29T10:00:00Z"),
    ],
)
def test_times_become_utc_with_every_digit(given_time: str | None, expected: str) -> None:
    told = converted(many(Incident), [{**INCIDENT, "createdAt": given_time}])
    assert told[0]["createdAt"] == expected


@pytest.mark.parametrize(
    "bad",
    [
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "0000-03-01T10:00:00Z",
        "2026-03-01T10:00:00",
    ],
)
def test_what_is_no_time_is_refused(bad: str) -> None:
    with pytest.raises(ProviderError, match="does not fit Incident"):
        many(Incident).convert(json.dumps([{**INCIDENT, "updatedAt": bad}]).encode())


def test_an_optional_time_stays_out_when_empty() -> None:
    steps = [
        {"stepId": "s", "status": "x", "startedAt": "", "finishedAt": "2026-03-01T12:00:00+02:00"}
    ]
    told = converted(one(OrchestrationRun), {"id": "r", "steps": steps})
    assert told["steps"] == [{"stepId": "s", "status": "x", "finishedAt": "2026-03-01T10:00:00Z"}]


def test_numbers_and_booleans_in_maps_of_text_are_taken_as_written() -> None:
    raw = b'{"entries":[{"message":"m","labels":{"a":1.50,"b":true,"c":null,"d":"x"}}]}'
    told = converted(one(LogEntries), raw)
    assert told["entries"][0]["labels"] == {"a": "1.50", "b": "true", "c": "", "d": "x"}
    with pytest.raises(ProviderError, match="labels"):
        one(LogEntries).convert(b'{"entries":[{"labels":{"a":{}}}]}')


@pytest.mark.parametrize("folded", [{"ID": "i", "Title": "t"}, {"Id": "i", "TITLE": "t"}])
def test_keys_in_other_letter_case_are_folded_when_nothing_matches(folded: dict[str, str]) -> None:
    told = converted(many(Incident), [{**folded, "CreatedAt": "2026-03-01T12:00:00+02:00"}])
    assert (told[0]["id"], told[0]["title"]) == ("i", "t")
    assert told[0]["createdAt"] == "2026-03-01T10:00:00Z"


def test_folding_reaches_nested_shapes() -> None:
    raw = {"Id": "r", "PlanId": "p", "Scope": {"Service": "s"}, "Steps": [{"StepId": "x"}]}
    told = converted(one(OrchestrationRun), raw)
    assert (told["planId"], told["scope"], told["steps"][0]["stepId"]) == (
        "p",
        {"service": "s"},
        "x",
    )
    assert converted(one(OrchestrationRun), {"ID": "r", "STEPS": None, "PLAN": None})["steps"] == []


@pytest.mark.parametrize(
    ("result", "raw"),
    [
        (one(Incident), b"[]"),
        (many(Incident), b"{}"),
        (many(Incident), b'"x"'),
        (many(Incident), b'[{"id":1}]'),
        (one(Incident), b'{"metadata":[]}'),
        (one(Incident), b'{"id":"' + b"\xff" + b'"}'),
        (many(MetricSeries), b'[{"points":[{"value":"1"}]}]'),
        (many(MetricSeries), b'[{"points":[{"value":1e400}]}]'),
        (many(Team), b'[{"tags":{"a":[]}}]'),
    ],
)
def test_what_does_not_fit_is_the_providers_error(result: Result, raw: bytes) -> None:
    with pytest.raises(ProviderError):
        result.convert(raw)


def test_deep_nesting_is_refused_and_harms_nothing() -> None:
    with pytest.raises(ProviderError):
        one(Incident).convert(b'{"metadata":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}")
    for start in (b'{"id":1,', b'{"ID":"i",', b'{"id":null,'):
        with pytest.raises(ProviderError, match="nested too deeply"):
            one(Incident).convert(start + b'"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ProviderError, match="not valid JSON"):
        one(Incident).convert(b'{"x":NaN}')


def test_the_last_of_repeated_keys_wins() -> None:
    assert converted(one(Incident), b'{"id":"a","id":"b"}')["id"] == "b"


def test_a_field_that_results_cannot_hold_is_a_defect() -> None:
    class Odd(f.Shape):
        name = f.fields.Boolean()

    with pytest.raises((TypeError, AttributeError)):
        struct_of(Odd)


def test_a_time_inside_a_single_object_is_a_defect() -> None:
    """Such a one would not be checked."""
    inner = f.shape("Inner", at=f.Time())
    with pytest.raises(TypeError, match="inner: times inside single objects"):
        codec_of(f.shape("Outer", inner=f.One(inner)), many=False)


@given(st.datetimes(timezones=st.timezones()))
def test_every_time_with_an_offset_becomes_the_same_instant(moment: Any) -> None:
    import datetime

    text = moment.isoformat(timespec="microseconds")
    if len(text) != len("2026-03-01T10:00:00.000000+02:00"):
        return
    try:
        expected = moment.astimezone(datetime.UTC)
    except OverflowError:
        return
    told = normal_time(text)
    assert datetime.datetime.fromisoformat(told) == expected
    assert told.endswith("Z")

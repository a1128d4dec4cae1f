"""Requests: unknown keys, nulls, letter case, types, times, bounds."""

import datetime
import re
from decimal import Decimal

import pytest

from opsorch.capabilities import fields as f
from opsorch.capabilities.incident import CreateIncidentInput, IncidentQuery, UpdateIncidentInput
from opsorch.capabilities.log import LogQuery
from opsorch.capabilities.messaging import Message
from opsorch.capabilities.metric import MetricQuery
from opsorch.capabilities.service import ServiceQuery
from opsorch.capabilities.ticket import UpdateTicketInput


def fault(schema: f.Schema, data: object) -> str:
    with pytest.raises(f.Misfit) as caught:
        f.load(schema, data)
    return str(caught.value)


def test_an_absent_body_is_an_empty_object() -> None:
    assert f.load(IncidentQuery, None) == {"scope": {}}


def test_null_means_not_set() -> None:
    given = {"query": None, "scope": None, "limit": None, "metadata": {"a": None}}
    assert f.load(IncidentQuery, given) == {"scope": {}, "metadata": {"a": None}}


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({"limit": 3}, 3),
        ({"LIMIT": 3}, 3),
        ({"Limit": 1, "limit": 2}, 2),
        ({"limit": 2, "LIMIT": 4}, 4),
    ],
)
def test_keys_match_exactly_else_case_folded_and_the_last_wins(
    given: dict[str, int], limit: int
) -> None:
    assert f.load(IncidentQuery, given)["limit"] == limit


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"bogus": 1}, "bogus: unknown field"),
        ({"scope": {"region": "eu"}}, "scope.region: unknown field"),
        ({"scope": "x"}, "scope must be an object"),
        ({"statuses": "open"}, "statuses must be a list"),
        ({"statuses": [1]}, "statuses.0 must be a string"),
        ({"query": {"a": 1}}, "query must be a string"),
        ({"limit": -1}, "limit must be a whole number"),
        ({"limit": 1.5}, "limit must be a whole number"),
        ({"limit": Decimal("1.0")}, "limit must be a whole number"),
        ({"limit": "5"}, "limit must be a whole number"),
        ({"limit": True}, "limit must be a whole number"),
        ({"limit": 2**63}, "limit must be a whole number"),
        ({"metadata": []}, "metadata must be an object"),
        ([], "The body must be an object"),
        ("x", "The body must be an object"),
    ],
)
def test_a_misfit_is_named_by_its_path(given: object, words: str) -> None:
    assert words in fault(IncidentQuery, given)


@pytest.mark.parametrize(
    ("schema", "given", "words"),
    [
        (
            LogQuery,
            {"expression": {"filters": [{"value": 1}]}},
            "expression.filters.0.value must be a string",
        ),
        (LogQuery, {"expression": {"filters": [None]}}, "expression.filters.0 must be an object"),
        (IncidentQuery, {"value": 1}, "value: unknown field"),
        (IncidentQuery, {"key": 1}, "key: unknown field"),
        (IncidentQuery, {"_schema": 1}, "_schema: unknown field"),
        (IncidentQuery, {"statuses": [None]}, "statuses.0 must be a string"),
        (ServiceQuery, {"tags": {"value": 1}}, "tags.value must be a string"),
        (ServiceQuery, {"tags": {"a": None}}, "tags.a must be a string"),
        (ServiceQuery, {"tags": []}, "tags must be an object"),
    ],
)
def test_no_name_is_swallowed(schema: f.Schema, given: object, words: str) -> None:
    assert fault(schema, given) == words


def test_a_hostile_body_gets_a_short_answer() -> None:
    """Its keys are its own: many of them, long ones, with control characters."""
    told = fault(IncidentQuery, {f"k{n}": 1 for n in range(5000)})
    assert told.count("unknown field") == f.MOST_TOLD
    assert told.endswith("; and more")
    assert len(fault(IncidentQuery, {"a" * 100_000: 1})) < 100
    assert fault(IncidentQuery, {"a\n\x1b[31m": 1}) == "a [31m: unknown field"


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        (IncidentQuery, {"statuses": ["x"] * (f.MOST_ITEMS + 1)}),
        (LogQuery, {"expression": {"filters": [{}] * (f.MOST_ITEMS + 1)}}),
        (ServiceQuery, {"tags": {str(n): "" for n in range(f.MOST_ITEMS + 1)}}),
    ],
)
def test_lists_are_bounded(schema: f.Schema, given: object) -> None:
    assert fault(schema, given).endswith(f"must not hold more than {f.MOST_ITEMS} items")


def test_all_misfits_come_at_once() -> None:
    told = fault(IncidentQuery, {"limit": -1, "query": 1, "bogus": 1})
    assert all(name in told for name in ("limit", "query", "bogus"))


@pytest.mark.parametrize(
    "time",
    [
        "2026-03-01T10:00:00Z",
        "2026-03-01T10:00:00.123456789Z",
        "2026-03-01T10:00:00+02:00",
        "2024-02-29T23:59:59-11:30",
        "0001-01-01T00:00:00Z",
    ],
)
def test_times_pass_as_sent(time: str) -> None:
    assert f.load(LogQuery, {"start": time})["start"] == time


@pytest.mark.parametrize("timespec", ["microseconds", "milliseconds", "seconds"])
def test_the_present_time_is_one_of_the_contract(timespec: str) -> None:
    now = f.utc_now(timespec)
    assert re.fullmatch(f.UTC_TIME_PATTERN, now)
    since = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(now)
    assert datetime.timedelta(0) <= since < datetime.timedelta(minutes=1)


@pytest.mark.parametrize(
    "time",
    [
        "",
        "2026-03-01",
        "2026-03-01T10:00:00",
        "2026-03-01t10:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-02-29T10:00:00Z",
        "2100-02-29T10:00:00Z",
        "2026-04-31T10:00:00Z",
        "2026-03-01 10:00:00Z",
        "2026-03-01T10:00:00+24:00",
        "٢٠٢٦-03-01T10:00:00Z",
        1772359200,
    ],
)
def test_what_is_no_time_is_refused(time: object) -> None:
    assert "start must be an RFC 3339 time" in fault(LogQuery, {"start": time})


def test_the_key_of_the_mcp_client_is_taken_and_dropped() -> None:
    assert f.load(LogQuery, {"providers": ["a"]}) == {"scope": {}}


def test_an_update_tells_absent_from_empty() -> None:
    assert f.load(UpdateIncidentInput, {"title": "", "status": None}) == {"title": ""}
    assert f.load(UpdateTicketInput, {"assignees": []}) == {"assignees": []}


def test_empty_bags_are_left_out() -> None:
    assert f.load(UpdateIncidentInput, {"fields": {}, "metadata": {"a": 1}}) == {
        "metadata": {"a": 1}
    }


@pytest.mark.parametrize("given", [{}, {"title": None}, {"title": " "}])
def test_a_title_must_be_there_and_not_blank(given: dict[str, object]) -> None:
    assert fault(CreateIncidentInput, given).startswith("title ")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"body": "b"}, "channel"),
        ({"channel": "#c"}, "body or blocks must be given"),
        ({"channel": "#c", "body": "  "}, "body or blocks must be given"),
        ({"channel": "#c", "blocks": [{"type": "image"}]}, "must be one of header, section"),
        ({"channel": "#c", "blocks": [{"text": "x"}]}, "blocks.0.type must be one of header"),
        ({"channel": "#c", "blocks": [{"type": None}]}, "blocks.0.type must be one of header"),
        ({"channel": "#c", "blocks": [{"type": "section", "fields": {"a": 1}}]}, "blocks.0.fields"),
    ],
)
def test_a_message_needs_a_channel_and_content(given: dict[str, object], words: str) -> None:
    assert words in fault(Message, given)


def test_a_message_of_blocks_alone_is_one() -> None:
    given = {"channel": "#c", "blocks": [{"type": "divider"}]}
    assert f.load(Message, given) == given


def test_a_nested_list_is_checked_item_by_item() -> None:
    filters = [{"label": "a", "operator": "=", "value": "b"}, {"lable": "x"}]
    told = fault(MetricQuery, {"expression": {"filters": filters}})
    assert "expression.filters.1.lable: unknown field" in told


def test_numbers_of_requests_are_exact_and_in_range() -> None:
    assert str(f.parse_decimal("0.1000000000000000000001")) == "0.1000000000000000000001"
    assert str(f.parse_decimal("1e-400")) == "1E-400"
    for text in ("1e400", "-1e999999999", f"1e-{'9' * 30}", f"0e{'9' * 30}"):
        with pytest.raises(ValueError, match="out of range"):
            f.parse_decimal(text)

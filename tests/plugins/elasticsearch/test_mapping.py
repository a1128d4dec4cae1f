"""Hits as entries: pure tables, times, labels and what is left over."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch_plugins.elasticsearch.concepts import (
    CANDIDATES,
    SPELLINGS,
    candidates_of,
    severity_class,
    severity_words,
)
from opsorch_plugins.elasticsearch.mapping import (
    MAX_LABELS,
    Hit,
    Reading,
    labels_of,
    paths_of,
    remove,
    value_at,
)
from opsorch_plugins.elasticsearch.timestamps import sort_time, timestamp_of
from tests.plugins.elasticsearch.support import Json

READING = Reading.of(CANDIDATES, "@timestamp")


def entry_of(source: Json, **more: Any) -> Json:
    [entry] = READING.entries([Hit(source, "logs-a", "1", **more)])
    return entry


@pytest.mark.case("elasticsearch", 3)
def test_ecs_documents_keep_the_rest_of_their_objects() -> None:
    """Severity and service are found in them; only they are taken out."""
    source = {
        "@timestamp": "2024-05-06T07:00:00Z",
        "message": "x",
        "log": {"level": "WARN", "logger": "main"},
        "service": {"name": "api", "version": "1.2"},
    }
    entry = entry_of(source)
    assert (entry["severity"], entry["service"], entry["message"]) == ("warning", "api", "x")
    assert entry["metadata"]["severityRaw"] == "WARN"
    assert entry["fields"] == {"log": {"logger": "main"}, "service": {"version": "1.2"}}
    assert "labels" not in entry


@pytest.mark.case("elasticsearch", 3)
def test_dotted_keys_are_the_same_as_objects() -> None:
    """A name's dots are levels or parts of keys, in any mixture."""
    entry = entry_of({"log.level": "error", "service.name": "api", "message": "x", "a.b": 1})
    assert (entry["severity"], entry["service"]) == ("error", "api")
    assert entry["fields"] == {"a.b": 1}
    mixed = {"resource": {"attributes": {"service.name": "billing"}}, "body": {"text": "x"}}
    entry = entry_of(mixed)
    assert (entry["service"], entry["message"]) == ("billing", "x")
    assert "fields" not in entry


@pytest.mark.case("elasticsearch", 4)
@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("2024-05-06T07:08:09.123456789Z", "2024-05-06T07:08:09.123456789Z"),
        ("2024-05-06T07:08:09.120Z", "2024-05-06T07:08:09.120Z"),
        ("2024-05-06T07:08:09.123456789+02:00", "2024-05-06T05:08:09.123456789Z"),
        ("2024-05-06T07:08:09+0200", "2024-05-06T05:08:09Z"),
        ("2024-05-06T07:08:09", "2024-05-06T07:08:09Z"),
        ("2024-05-06 07:08:09,123", "2024-05-06T07:08:09.123Z"),
        ("20240506T070809.5Z", "2024-05-06T07:08:09.5Z"),
        ("2024-05-06T07:08Z", "2024-05-06T07:08:00Z"),
        ("2024-05-06", "2024-05-06T00:00:00Z"),
        (1_714_979_289, "2024-05-06T07:08:09Z"),
        (1_714_979_289_123, "2024-05-06T07:08:09.123Z"),
        (1_714_979_289_123_456, "2024-05-06T07:08:09.123456Z"),
        (1_714_979_289_123_456_789, "2024-05-06T07:08:09.123456789Z"),
        (1_714_979_289.5, "2024-05-06T07:08:09.5Z"),
        (1_714_979_289_123.25, "2024-05-06T07:08:09.12325Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        ("1714979289123", "2024-05-06T07:08:09.123Z"),
        ("1714979289.123", "2024-05-06T07:08:09.123Z"),
        ("1714979289123.456789", "2024-05-06T07:08:09.123456789Z"),
        ("2024-13-06T07:08:09Z", None),
        ("yesterday", None),
        ("", None),
        ("0001-01-01T00:00:00+05:00", None),
        (10**30, None),
        (True, None),
        ({"a": 1}, None),
        (["2024-05-06T07:08:09Z"], None),
    ],
)
def test_times_in_any_form_are_utc(value: Any, written: str | None) -> None:
    """Every digit is kept; what is no time is none."""
    assert timestamp_of(value) == written


@pytest.mark.case("elasticsearch", 4)
@pytest.mark.parametrize(
    ("sort", "written"),
    [
        ([1_714_979_289_123, 5], "2024-05-06T07:08:09.123Z"),
        (["x", 1_714_979_289_123], "2024-05-06T07:08:09.123Z"),
        ([1_714_979_289_123_456_789], "2024-05-06T07:08:09.123456789Z"),
        ([5], "1970-01-01T00:00:00.005Z"),
        ([-(2**63)], None),
        (["x"], None),
        ([], None),
        (None, None),
    ],
)
def test_a_missing_time_is_that_of_the_sort(sort: Any, written: str | None) -> None:
    """It is in milliseconds; without one the time is left out."""
    assert sort_time(sort) == written
    assert entry_of({"message": "x"}, sort=sort).get("timestamp") == written
    assert entry_of({"@timestamp": "odd", "message": "x"}, sort=sort).get("timestamp") == written


@settings(max_examples=200, deadline=None)
@given(st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=40))
def test_no_value_breaks_the_reading_of_times(value: Any) -> None:
    """Documents are foreign text."""
    written = timestamp_of(value)
    assert written is None or timestamp_of(written) == written


@pytest.mark.parametrize(
    ("source", "message", "left"),
    [
        ({"message": "a", "msg": "b"}, "a", {"msg": "b"}),
        ({"message": None, "msg": "b"}, "b", {"message": None}),
        ({"message": "", "msg": "b"}, "", {"msg": "b"}),
        ({"message": {"b": [1, 2]}}, '{"b":[1,2]}', {}),
        ({"message": 5, "msg": "text"}, "text", {"message": 5}),
        ({"body": ["x"]}, '["x"]', {}),
        ({"log": "line"}, "line", {}),
        ({"log": {"level": "error", "x": 1}}, "", {"log": {"x": 1}}),
        ({"event": {"original": "raw", "code": 1}}, "raw", {"event": {"code": 1}}),
        ({"a": 1}, "", {"a": 1}),
    ],
)
def test_messages(source: Json, message: str, left: Json) -> None:
    """The first text; without one the first of any kind, but never an object of other parts."""
    entry = entry_of(source)
    assert entry["message"] == message
    assert entry.get("fields", {}) == left


@pytest.mark.parametrize(
    ("raw", "severity"),
    [
        *((spelling.upper(), name) for name, words in SPELLINGS.items() for spelling in words),
        *((number, "critical") for number in range(3)),
        *zip(range(3, 8), ["error", "warning", "info", "info", "debug"], strict=True),
        ("3", "error"),
        (30, "30"),
        (" Audit ", "audit"),
        ("²", "²"),
    ],
)  # fmt: skip
def test_severities_are_one_vocabulary(raw: Any, severity: str) -> None:
    """Any case, syslog's numbers; unknown words pass in lower case, and the raw one is kept."""
    entry = entry_of({"level": raw})
    assert entry["severity"] == severity
    assert entry["metadata"].get("severityRaw") == (str(raw) if str(raw) != severity else None)
    assert "fields" not in entry


def test_what_is_shown_can_be_asked_for() -> None:
    """Each spelling that is read as a class is sent when the class is asked for."""
    for name, words in SPELLINGS.items():
        assert set(words) <= set(severity_words([name.upper()]))
        assert all(severity_class(word) == name for word in severity_words([words[-1]]))


def test_objects_and_booleans_are_no_severity_or_service() -> None:
    """They stay among the fields."""
    source = {"level": True, "severity": {"x": 1}, "service": 5, "app": "shop"}
    entry = entry_of(source)
    assert "severity" not in entry
    assert entry["service"] == "shop"
    assert entry["fields"] == {"level": True, "severity": {"x": 1}, "service": 5}


def test_labels_are_texts_by_the_names_that_filters_take() -> None:
    """Texts at the top, leaves of labels, and where it ran."""
    labels = labels_of(
        {
            "path": "/x",
            "long": "x" * 257,
            "number": 5,
            "labels": {"team": "a", "n": 1, "f": 1.5, "b": True, "deep": {"er": "y"}, "l": [1]},
            "kubernetes": {"labels": {"app": "z"}, "namespace": "ns", "pod": {"name": "p"}},
            "host": {"name": "h"},
            "container.name": "c",
        }
    )
    assert labels == {
        "path": "/x",
        "container.name": "c",
        "labels.team": "a",
        "labels.n": "1",
        "labels.f": "1.5",
        "labels.b": "true",
        "labels.deep.er": "y",
        "kubernetes.labels.app": "z",
        "kubernetes.namespace": "ns",
        "kubernetes.pod.name": "p",
        "host.name": "h",
    }
    assert len(labels_of({f"k{n}": "v" for n in range(500)})) == MAX_LABELS


def test_metadata_tells_where_an_entry_is() -> None:
    """Index, id, sort and highlight; a score only where there is one."""
    entry = entry_of({"message": "x"}, sort=[5], highlight={"message": ["<em>x</em>"]})
    assert entry["metadata"] == {
        "source": "elasticsearch",
        "_index": "logs-a",
        "_id": "1",
        "sort": [5],
        "highlight": {"message": ["<em>x</em>"]},
    }
    assert entry_of({"message": "x"}, score=1.5)["metadata"]["_score"] == 1.5


def test_links_of_documents_are_encoded() -> None:
    """Ids may hold anything."""
    reading = Reading.of(CANDIDATES, "@timestamp", "http://k/app/discover#/doc/v/")
    [entry] = reading.entries([Hit({"a": 1}, "logs-a", "x/y?&#")])
    assert entry["metadata"]["url"] == "http://k/app/discover#/doc/v/logs-a?id=x%2Fy%3F%26%23"


def test_hits_without_a_document_are_left_out() -> None:
    """The field _source may be switched off in an index."""
    found = READING.entries([Hit(None), Hit("text"), Hit({"message": "x"})], partial=True)
    assert [entry["message"] for entry in found] == ["x"]
    assert found[0]["metadata"]["partial"] is True


def test_configured_fields_come_first_and_alone() -> None:
    """A map of one concept leaves the others as they are."""
    reading = Reading.of(candidates_of({"message": ["text.body", "line"]}), "when")
    source = {"when": 1_714_979_289, "line": "l", "text": {"body": "t"}, "level": "info"}
    [entry] = reading.entries([Hit(source)])
    assert entry["message"] == "t"
    assert entry["timestamp"] == "2024-05-06T07:08:09Z"
    assert entry["severity"] == "info"
    assert entry["fields"] == {"line": "l"}


def test_paths_of_a_dotted_name() -> None:
    """All the ways to write it."""
    assert set(paths_of("a.b.c")) == {("a.b.c",), ("a.b", "c"), ("a", "b.c"), ("a", "b", "c")}
    many = "a.b.c.d.e.f.g"
    assert set(paths_of(many)) == {(many,), tuple("abcdefg")}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "level", "text", "log", "a.b"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
names = st.sampled_from(
    ["@timestamp", "message", "log", "log.level", "service", "body", "labels", "kubernetes", "x"]
)


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [leaf for key in value for leaf in leaves(value[key], f"{path}/{key}")]
    return [(path, value)]


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(names, json_values, max_size=6))
def test_any_document_maps_and_loses_nothing_else(source: Json) -> None:
    """At most four paths are taken out of it; all others stay as they were."""
    before = dict(leaves(source))
    entry = entry_of(source)
    assert isinstance(entry["message"], str)
    assert all(isinstance(value, str) for value in entry.get("labels", {}).values())
    after = dict(leaves(entry.get("fields", {})))
    gone = before.keys() - after.keys()
    assert len({path.split("/")[1] for path in gone if path}) <= 4
    assert all(before[path] == value for path, value in after.items() if path)


def test_removing_takes_empty_objects_along() -> None:
    """Others stay, and what is not there is no fault."""
    source: Json = {"a": {"b": {"c": 1}}, "d": {"e": 1, "f": 2}}
    remove(source, ("a", "b", "c"))
    remove(source, ("d", "e"))
    remove(source, ("x", "y"))
    remove(source, ("d", "f", "g"))
    assert source == {"d": {"f": 2}}
    assert value_at({"a": 5}, ("a", "b")) is value_at({"a": None}, ("a",)) is None

"""Reading what vendors send: no form of it fails, and each part costs no more than itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsorch.plugin import vendor
from opsorch.plugin.times import ZERO_TIME

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("read", "value", "found"),
    [
        (vendor.as_object, {"a": 1}, {"a": 1}),
        (vendor.as_object, [{"a": 1}], {}),
        (vendor.as_list, [1, "a"], [1, "a"]),
        (vendor.as_list, {"a": 1}, []),
        (vendor.as_objects, [{"a": 1}, None, "a", {}], [{"a": 1}, {}]),
        (vendor.as_objects, {"a": {}}, []),
        (vendor.as_text, "a", "a"),
        (vendor.as_text, 1, ""),
        (vendor.as_texts, ["a", 1, "", None], ["a", ""]),
        (vendor.as_texts, "a", []),
        (vendor.as_number, 1.5, 1.5),
        (vendor.as_number, True, 0.0),
        (vendor.as_number, "1", 0.0),
    ],
)
def test_values_of_another_kind_are_empty(read: Any, value: Any, found: Any) -> None:
    """Within a list they are left out."""
    assert read(value) == found


def test_the_first_text_of_several_fields_counts() -> None:
    """What is empty or no text is passed over."""
    raw = {"a": "", "b": 1, "c": "x", "d": "y"}
    assert vendor.text_in(raw, "a", "b", "c", "d") == "x"
    assert vendor.text_in(raw, "a", "b") == vendor.text_in(raw) == vendor.text_in(None, "c") == ""


def test_fields_hold_objects() -> None:
    """One, or a list of them."""
    raw = {"one": {"a": 1}, "many": [{"a": 1}, 2]}
    assert vendor.object_in(raw, "one") == {"a": 1}
    assert vendor.objects_in(raw, "many") == [{"a": 1}]
    assert vendor.object_in(raw, "many") == vendor.object_in(raw, "none") == {}
    assert vendor.objects_in(raw, "one") == vendor.objects_in("many", "many") == []


def test_a_path_leads_to_a_text() -> None:
    """Where it breaks off there is none."""
    raw = {"a": {"b": {"c": "x"}}}
    assert vendor.text_at(raw, "a", "b", "c") == "x"
    assert vendor.text_at("x") == "x"
    for path in (("a", "b"), ("a", "c", "b"), ("a", "b", "c", "d")):
        assert vendor.text_at(raw, *path) == ""


def test_the_first_time_of_several_fields_counts() -> None:
    """None of them is the zero time, or None where that is asked for."""
    raw = {"a": "soon", "b": "2024-05-06T09:08:09+02:00", "c": "2025-01-01T00:00:00Z"}
    assert vendor.time_in(raw, "a", "b", "c") == "2024-05-06T07:08:09Z"
    assert vendor.known_time_in(raw, "a", "b", "c") == "2024-05-06T07:08:09Z"
    assert vendor.time_in(raw, "a", "d") == vendor.time_in([], "a") == ZERO_TIME
    assert vendor.known_time_in(raw, "a", "d") is None
    assert vendor.known_time_in({"a": ZERO_TIME}, "a") is None


@given(JSON)
def test_no_json_fails(value: Any) -> None:
    """Every reader answers with its kind."""
    assert isinstance(vendor.as_object(value), dict)
    assert all(isinstance(item, dict) for item in vendor.as_objects(value))
    assert all(isinstance(item, dict) for item in vendor.objects_in(value, "a"))
    assert all(isinstance(item, str) for item in vendor.as_texts(value))
    assert isinstance(vendor.text_in(value, "a", "b"), str)
    assert isinstance(vendor.text_at(value, "a", "b"), str)
    assert isinstance(vendor.object_in(value, "a"), dict)
    assert vendor.time_in(value, "a").endswith("Z")
    assert isinstance(vendor.as_number(value), int | float)

"""The capability table itself."""

import dataclasses
import re

import pytest

from opsorch.capabilities import CAPABILITIES, capability_named, checked, operations
from opsorch.capabilities.results import IGNORED
from opsorch.capabilities.spec import READ, WRITE, Capability, Operation, params_and_entry


def test_there_are_ten_capabilities_in_order() -> None:
    assert list(CAPABILITIES) == sorted(CAPABILITIES)
    assert len(CAPABILITIES) == 10


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("incident", "incident"), ("Incidents", "incident"), ("MESSAGE", "messaging"),
     ("messages", "messaging"), ("messaging", "messaging"), (" team ", "team")],
)  # fmt: skip
def test_a_capability_is_found_by_any_of_its_names(name: str, canonical: str) -> None:
    found = capability_named(name)
    assert found is not None
    assert found.name == canonical


@pytest.mark.parametrize("name", ["secret", "database", "", "incidentss"])
def test_other_names_are_unknown(name: str) -> None:
    assert capability_named(name) is None


@pytest.mark.parametrize(
    "operation", [row for _, row in operations()], ids=lambda row: f"{row.verb} {row.path}"
)
def test_writes_are_those_that_change_something(operation: Operation) -> None:
    changes = re.search(r"\.(create|update|append|send|start|complete)$", operation.method)
    assert operation.kind is (WRITE if changes else READ)
    assert operation.summary.endswith(".")


def an_operation(**more: object) -> Operation:
    base: dict[str, object] = {"result": IGNORED, "kind": READ, "audit": "a", "summary": "s"}
    return Operation("x.get", "GET", "/x/{id}", **{**base, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [{"path": "/x/{id"}, {"path": "/x/"}, {"verb": "DELETE"}, {"kind": WRITE}],
)
def test_a_row_that_cannot_be_is_refused_when_built(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"x\.get"):
        dataclasses.replace(an_operation(), **changes)


def test_clashes_are_refused() -> None:
    one = Capability("x", "xs", "X.", (an_operation(),))
    with pytest.raises(ValueError, match="does not belong"):
        Capability("y", "ys", "Y.", (an_operation(),))
    with pytest.raises(ValueError, match="'xs' names both"):
        checked([one, Capability("y", "xs", "Y.", ())])
    other = dataclasses.replace(an_operation(), method="x.other")
    with pytest.raises(ValueError, match="leads to"):
        checked([Capability("x", "xs", "X.", (an_operation(), other))])


def test_an_appended_entry_goes_out_under_both_keys_with_the_present_time() -> None:
    payload = params_and_entry({"id": "i"}, {"body": "b"})
    assert payload["entry"] == payload["input"]
    assert payload["entry"]["at"].endswith("Z")
    given = params_and_entry({"id": "i"}, {"body": "b", "at": "2026-03-01T10:00:00Z"})
    assert given["entry"]["at"] == "2026-03-01T10:00:00Z"

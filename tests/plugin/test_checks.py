"""Looks at an upstream: each a line, and none that is bound to fail as the one before."""

from collections.abc import Callable

import pytest

from opsorch.errors import (
    AuthFailed,
    NotFound,
    OpsOrchError,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from opsorch.plugin.checks import Look, looked_at
from opsorch.plugin.provider import Check


def failing(error: OpsOrchError) -> Callable[[], str]:
    def take() -> str:
        raise error

    return take


WELL = Look("last", lambda: "all is well")


def test_each_look_is_a_line() -> None:
    """A failure does not keep from the next look."""
    found = looked_at([Look("first", failing(NotFound("not there"))), WELL])
    assert found == [
        Check("first", ok=False, message="not there"),
        Check("last", True, "all is well"),
    ]


def test_a_refusal_says_what_is_needed() -> None:
    """Other failures do not, nor a look that needs nothing of its own."""
    refused, missing = failing(AuthFailed("No.")), failing(NotFound("None."))
    looks = [Look("a", refused, "users.read"), Look("b", refused), Look("c", missing, "users.read")]
    assert [check.message for check in looked_at(looks)] == [
        "No. This look needs users.read.",
        "No.",
        "None.",
    ]


@pytest.mark.parametrize("error", [RateLimited, UpstreamTimeout, UpstreamUnreachable])
def test_trouble_of_the_connection_ends_it(error: type[OpsOrchError]) -> None:
    """The next look would only wait for the same."""
    assert len(looked_at([Look("first", failing(error("later"))), WELL])) == 1


def test_a_vital_look_ends_it() -> None:
    """Only where it fails."""
    assert len(looked_at([Look("first", failing(NotFound("no")), vital=True), WELL])) == 1
    assert len(looked_at([Look("first", lambda: "", vital=True), WELL])) == 2

"""Fixtures of the end-to-end tests of the adapters."""

from collections.abc import Iterator

import pytest

from tests.e2e.support import WAYS
from tests.fakes.server import FakeServer


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """As a plugin process, then inside the gateway."""
    chosen: str = request.param
    return chosen


@pytest.fixture(autouse=True)
def no_faults_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A fault that a test queued at its module's ``fake`` is met in this test."""
    fake: FakeServer | None = None
    if "fake" in request.fixturenames:
        fake = request.getfixturevalue("fake")
    yield
    assert fake is None or not fake.faults

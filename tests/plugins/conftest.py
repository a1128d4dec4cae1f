"""Fixtures of the adapters' tests."""

from collections.abc import Iterator

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.plugin import Call


@pytest.fixture
def http() -> Iterator[requests_mock.Mocker]:
    """Every request that is not registered fails as unreachable; letter case counts."""
    with requests_mock.Mocker(case_sensitive=True) as mocker:
        yield mocker


@pytest.fixture
def call() -> Call:
    return Call(Deadline.after(30.0))


@pytest.fixture
def pauses() -> list[float]:
    """The waits between tries, instead of waiting."""
    return []

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.plugin import Call
from opsorch_plugins.elasticsearch import logs
from opsorch_plugins.elasticsearch.provider import ElasticsearchLogs
from tests.fakes.elasticsearch import State, make_app, seeded
from tests.plugins.elasticsearch.support import ADDRESS, NOW, answered_by


@pytest.fixture
def http() -> Iterator[requests_mock.Mocker]:
    """Every request that is not registered fails as unreachable."""
    with requests_mock.Mocker() as mocker:
        yield mocker


@pytest.fixture
def call() -> Call:
    return Call(Deadline.after(30.0))


@pytest.fixture
def fixed_now(monkeypatch: pytest.MonkeyPatch) -> datetime.datetime:
    """Make "now" of the provider a known moment."""
    monkeypatch.setattr(logs, "now", lambda: NOW)
    return NOW


@pytest.fixture
def pauses() -> list[float]:
    """The waits between tries, instead of waiting."""
    return []


@pytest.fixture
def logs_of(pauses: list[float]) -> Callable[..., ElasticsearchLogs]:
    """Build a provider that does not wait between tries."""

    def build(**config: Any) -> ElasticsearchLogs:
        needed = {} if "cloudID" in config else {"addresses": [ADDRESS]}
        provider = ElasticsearchLogs({**needed, **config})
        provider.cluster._sleep = pauses.append
        provider.cluster._jitter = lambda: 0.0
        return provider

    return build


@pytest.fixture(scope="module")
def documents() -> State:
    """A cluster with 3,000 entries; tests do not change it."""
    return seeded()


@pytest.fixture
def cluster(
    http: requests_mock.Mocker, documents: State, fixed_now: datetime.datetime
) -> requests_mock.Mocker:
    """All requests go to the cluster with documents, and "now" is its newest entry."""
    answered_by(make_app(documents), http)
    return http

import datetime
from collections.abc import Callable
from typing import Any

import pytest
import requests_mock

from opsorch_plugins.elasticsearch import logs
from opsorch_plugins.elasticsearch.provider import ElasticsearchLogs
from tests.fakes.elasticsearch import State, make_app, seeded
from tests.plugins.elasticsearch.support import ADDRESS, NOW, answered_by
from tests.plugins.support import unhurried


@pytest.fixture
def fixed_now(monkeypatch: pytest.MonkeyPatch) -> datetime.datetime:
    """Make "now" of the provider a known moment."""
    monkeypatch.setattr(logs, "now", lambda: NOW)
    return NOW


@pytest.fixture
def logs_of(pauses: list[float]) -> Callable[..., ElasticsearchLogs]:
    """Build a provider that does not wait between tries."""

    def build(**config: Any) -> ElasticsearchLogs:
        needed = {} if "cloudID" in config else {"addresses": [ADDRESS]}
        provider = ElasticsearchLogs({**needed, **config})
        unhurried(provider.cluster, pauses)
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

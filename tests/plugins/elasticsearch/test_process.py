"""The plugin as a real process against a fake cluster over real HTTP."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from opsorch.plugin.testing import PluginProcess, command_of, run_plugin
from opsorch_plugins.elasticsearch.provider import ElasticsearchLogs
from tests.fakes.elasticsearch import State, make_app, seeded
from tests.fakes.server import FakeServer, Fault, Seen, serving
from tests.harness import free_port
from tests.plugins.support import Json, Plugin
from tests.processes import command

ALL = {"start": "2024-05-06T06:00:00Z", "end": "2024-05-06T07:00:00Z"}
SECRET = "a-secret-of-the-test"


@pytest.fixture
def state() -> State:
    return seeded(600)


@pytest.fixture
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


class Logs(Plugin):
    """A plugin process with its configuration."""

    def entries(self, payload: Json) -> list[Json]:
        found: list[Json] = self("log.query", {**ALL, **payload})["entries"]
        return found

    def refused(self, payload: Json | None = None, **context: Any) -> Json:
        return self.error("log.query", {**ALL, **(payload or {})}, **context)


@pytest.fixture
def plugin(fake: FakeServer) -> Iterator[Logs]:
    with run_plugin(ElasticsearchLogs) as process:
        yield Logs(process, {"addresses": [fake.url]}, SECRET)


def test_a_query_with_every_filter(plugin: Logs) -> None:
    """What comes back fits all of them."""
    payload = {
        "expression": {
            "search": "request OR payment OR user OR disk",
            "severityIn": ["error", "warning", "info"],
            "filters": [{"field": "host.name", "operator": "regex", "value": "^host-[0-3]$"}],
        },
        "scope": {"service": "checkout", "team": "payments", "environment": "prod"},
    }
    found = plugin.entries(payload)
    assert found
    assert {entry["service"] for entry in found} == {"checkout"}
    assert {entry["severity"] for entry in found} <= {"error", "warning", "info"}
    assert {entry["labels"]["labels.team"] for entry in found} == {"payments"}
    times = [entry["timestamp"] for entry in found]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("opensearch", [False, True])
def test_many_pages(plugin: Logs, state: State, fake: FakeServer, opensearch: bool) -> None:
    """Each entry once, and nothing stays open."""
    state.opensearch = opensearch
    plugin.config["pageSize"] = 100
    found = plugin.entries({"limit": 550})
    assert len({entry["metadata"]["_id"] for entry in found}) == 550
    assert state.open_pits == {}
    assert fake.count("DELETE") == 1


def test_credentials_reach_the_server(plugin: Logs, state: State) -> None:
    """Without them the server refuses, with them it answers; too few rights are named."""
    state.basic_auth("ops", SECRET)
    state.basic_auth("weak", SECRET, reads=False)
    state.api_key("an-id", SECRET)
    assert plugin.refused()["code"] == "auth_failed"
    plugin.config |= {"username": "weak", "password": SECRET}
    refused = plugin.refused()
    assert refused["code"] == "auth_failed" and "read on indexPattern" in refused["message"]
    plugin.config["username"] = "ops"
    assert len(plugin.entries({"limit": 5})) == 5
    plugin.config = {"addresses": plugin.config["addresses"], "apiKey": f"an-id:{SECRET}"}
    assert len(plugin.entries({"limit": 5})) == 5


def test_describe_and_check(plugin: Logs, state: State) -> None:
    """The check goes the same way as queries."""
    assert plugin("plugin.describe")["methods"] == ["log.query"]
    checked = plugin("plugin.check")
    assert [check["name"] for check in checked["checks"]] == [
        *("configuration", "cluster", "indexPattern")
    ]
    assert checked["ok"] is True
    state.api_key("other", "other")
    refused = plugin("plugin.check")
    assert refused["ok"] is False
    assert "401" in refused["checks"][0]["message"]


def test_errors_have_their_codes(plugin: Logs, fake: FakeServer, state: State) -> None:
    """What a person can do about it decides the code; the plugin lives on."""
    lucene = {"expression": {"search": "a:("}}
    plugin.config["searchMode"] = "lucene"
    refused = plugin.refused(lucene)
    assert refused["code"] == "bad_request" and "Failed to parse query" in refused["message"]
    plugin.config["indexPattern"] = "no-such-index"
    assert plugin.refused()["code"] == "not_found"
    plugin.config["indexPattern"] = "no-such-*"
    assert plugin.entries({}) == []
    state.busy = 3
    limited = plugin.refused()
    assert (limited["code"], limited["retryAfter"]) == ("rate_limited", 1)
    fake.fail_next(Fault(status=429, headers={"Retry-After": "3600"}))
    assert plugin.refused()["retryAfter"] == 3600
    fake.fail_next(Fault(status=200, body="<html>"))
    assert plugin.refused()["code"] == "provider_error"
    plugin.config = {"addresses": "odd-value"}
    invalid = plugin.refused()
    assert invalid["code"] == "invalid_config"
    assert "addresses[0]" in invalid["message"] and "odd-value" not in invalid["message"]


def test_a_passing_trouble_is_bridged(plugin: Logs, fake: FakeServer) -> None:
    """A lost connection and a 503 cost time, not the answer."""
    fake.fail_next(Fault(drop=True))
    fake.fail_next(Fault(status=503))
    assert len(plugin.entries({"limit": 3})) == 3
    assert len(fake.seen) == 3


def test_a_dead_node_is_left_for_a_live_one(plugin: Logs, fake: FakeServer) -> None:
    """Without a wait."""
    plugin.config["addresses"] = [f"http://127.0.0.1:{free_port()}", fake.url]
    assert len(plugin.entries({"limit": 3})) == 3


def test_a_silent_server_is_a_timeout_within_the_budget(plugin: Logs, fake: FakeServer) -> None:
    """The answer comes before the gateway would give up, and the next call is answered."""
    plugin.entries({"limit": 1})
    fake.fail_next(Fault(hang=True))
    began = time.monotonic()
    late = plugin.refused(timeoutMs=2000)
    assert late["code"] == "upstream_timeout"
    assert time.monotonic() - began < 10
    assert len(plugin.entries({"limit": 1})) == 1


def test_a_page_that_does_not_come_leaves_no_point_in_time(
    plugin: Logs, fake: FakeServer, state: State
) -> None:
    """It is closed although the time is over."""

    def is_second_page(seen: Seen) -> bool:
        return seen.path == "/_search" and "search_after" in (seen.json or {})

    fake.fail_next(Fault(hang=True, when=is_second_page))
    plugin.config["pageSize"] = 100
    assert plugin.refused({"limit": 500}, timeoutMs=2000)["code"] == "upstream_timeout"
    assert state.open_pits == {}


def test_a_missing_server_is_unreachable(plugin: Logs) -> None:
    """Host and port are told."""
    address = f"127.0.0.1:{free_port()}"
    plugin.config["addresses"] = [f"http://{address}"]
    error = plugin.refused()
    assert error["code"] == "upstream_unreachable"
    assert address in error["message"] and "refused" in error["message"]


def test_no_secret_is_written_anywhere(fake: FakeServer, state: State) -> None:
    """Neither in answers nor in the log nor on the command line, whatever goes wrong."""
    process = PluginProcess(command_of(ElasticsearchLogs), {"OPSORCH_LOG_LEVEL": "debug"})
    config = {
        "addresses": fake.url.replace("://", f"://ops:{SECRET}-1@"),
        "apiKey": {"id": "an-id", "api_key": f"{SECRET}-2"},
        "headers": {"X-Key": f"{SECRET}-3"},
    }
    told = ""
    arguments = " ".join(command(process.pid))
    for fault in (
        Fault(status=400, body=f'{{"error": "{SECRET}-1 {SECRET}-2 {SECRET}-3"}}'),
        Fault(status=500, body=f'{{"error": "{SECRET}-2"}}'),
        Fault(status=401, body=SECRET),
        Fault(drop=True),
    ):
        fake.fail_next(fault)
        told += str(process.call("log.query", ALL, config=config))
    told += str(process.call("log.query", ALL, config={**config, "bogus": SECRET}))
    log = process.close()
    assert "***" in told
    assert SECRET not in told + log + arguments
    assert "unknown field(s) ignored: bogus" in log

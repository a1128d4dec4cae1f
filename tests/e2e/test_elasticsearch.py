"""Dashboard, gateway, plugin and a fake Elasticsearch or OpenSearch, over real HTTP."""

import datetime
import json
import pathlib
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.support import (
    SECRET,
    Json,
    answered,
    answers_to,
    at,
    env_of,
    examples_of,
    failed,
    guarded_gateway,
    limited,
)
from tests.fakes.elasticsearch import State, make_app, seeded
from tests.fakes.server import FakeServer, Fault, Seen, serving
from tests.harness import Answer, Gateway, free_port, running_gateway
from tests.processes import all_pids, ancestors, command

# As the guide to custom images has it: in the section on Elasticsearch, and in example 1.
GUIDE_CONFIG = (
    '{"addresses":["http://elasticsearch:9200"],"username":"elastic","password":"changeme",'
    '"indexPattern":"logs-*"}'
)
GUIDE_ENV = f"""\
OPSORCH_BEARER_TOKEN=your-secure-token

# Elasticsearch
OPSORCH_LOG_CONFIG={GUIDE_CONFIG}
"""

HOUR = {"start": "2024-05-06T06:00:00Z", "end": "2024-05-06T07:00:00Z"}


@pytest.fixture(scope="module")
def state() -> State:
    made = seeded(3000)
    made.basic_auth("elastic", SECRET)
    return made


@pytest.fixture(scope="module")
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


@pytest.fixture(autouse=True)
def no_points_left(state: State) -> Iterator[None]:
    """No point in time stays open."""
    yield
    assert state.open_pits == {}


@pytest.fixture(scope="module")
def gateway(way: str, fake: FakeServer) -> Iterator[Gateway]:
    config = {
        "addresses": [fake.url],
        "username": "elastic",
        "password": SECRET,
        "headers": {"X-Extra": f"header-{SECRET}"},
        "kibanaURL": "https://kibana.example.com",
        "pageSize": 500,
        "defaultLimit": 400,
        "timeoutSeconds": 3,
    }
    with guarded_gateway(env_of("elasticsearch", way, {"LOG": config})) as running:
        yield running


def entries_of(answer: Answer) -> list[Json]:
    found: list[Json] = answered(answer)["entries"]
    return found


def ask(gateway: Gateway, **more: Any) -> Answer:
    return gateway.request("POST", "/logs/query", {**HOUR, **more})


def one_filter(field: str, operator: str, value: str) -> Json:
    return {"filters": [{"field": field, "operator": operator, "value": value}]}


def test_logs_with_every_filter(gateway: Gateway, fake: FakeServer) -> None:
    """Expression, scope, times and metadata all narrow; shapes are the contract's."""
    expression = {
        "search": "request OR payment OR user OR disk",
        "severityIn": ["error", "warning", "info"],
        **one_filter("http.response.status_code", ">=", "300"),
    }
    scope = {"service": "checkout", "team": "payments", "environment": "prod"}
    metadata = {"terms": {"host.name": ["host-0", "host-1", "host-2"]}, "sort": "asc"}
    answer = ask(gateway, expression=expression, scope=scope, limit=20, metadata=metadata)
    found = entries_of(answer)
    assert found
    for entry in found:
        assert entry["service"] == "checkout"
        assert entry["severity"] in ("error", "warning", "info")
        assert entry["labels"]["labels.team"] == "payments"
        assert entry["labels"]["host.name"] in ("host-0", "host-1", "host-2")
        assert entry["fields"]["http"]["response"]["status_code"] >= 300
        assert "secret" not in entry["metadata"]["_index"]
    times = [entry["timestamp"] for entry in found]
    assert times == sorted(times) and all(time.endswith("Z") for time in times)
    fragment = urllib.parse.unquote(urllib.parse.urlsplit(answer.json["url"]).fragment)
    for part in ("2024-05-06T06:00:00Z", "2024-05-06T07:00:00Z", "checkout", "payments"):
        assert part in fragment
    document = found[0]["metadata"]["url"]
    assert document.startswith("https://kibana.example.com/app/discover#/doc/logs-%2A/logs-")
    assert SECRET not in str(answer)
    assert fake.seen[-1].headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("field", "operator", "value", "fits"),
    [
        ("service", "=", "billing", lambda e: e["service"] == "billing"),
        ("service", "not in", "api,auth-api", lambda e: "api" not in e["service"]),
        ("message", "contains", "50% Of", lambda e: "50% of" in e["message"]),
        ("path", "regex", "^/v1/items/1.*$", lambda e: "/v1/items/1" in e["fields"]["path"]),
        ("severity", "!=", "error", lambda e: e["severity"] != "error"),
        ("@labels.canary", "=", "true", lambda e: e["labels"]["labels.canary"] == "true"),
        ("path", "exists", "", lambda e: "path" in e["fields"]),
    ],
)
def test_operators(gateway: Gateway, field: str, operator: str, value: str, fits: Any) -> None:
    """They find something, and nothing else."""
    found = entries_of(ask(gateway, expression=one_filter(field, operator, value), limit=50))
    assert found
    assert all(map(fits, found))


@pytest.mark.parametrize("opensearch", [False, True])
def test_many_pages(gateway: Gateway, state: State, opensearch: bool) -> None:
    """More entries than one request gives come once each, newest first."""
    state.opensearch = opensearch
    try:
        found = entries_of(ask(gateway, limit=2800))
    finally:
        state.opensearch = False
    assert [entry["metadata"]["_id"] for entry in found] == [f"d{n:05}" for n in range(2800)]


def test_lines_around_an_entry(gateway: Gateway) -> None:
    """What happened before and after it."""
    around = {"index": "logs-flat-2024.05", "id": "d01000", "n": 2}
    found = entries_of(ask(gateway, metadata={"around": around}))
    assert [entry["metadata"]["_id"] for entry in found] == [f"d{n:05}" for n in range(998, 1003)]
    around["id"] = "d99999"
    failed(ask(gateway, metadata={"around": around}), 404, "not_found")


def test_a_search_does_not_reach_beyond_the_scope(gateway: Gateway) -> None:
    """Whatever it says."""
    scope = {"service": "billing"}
    search = "timeout OR service:api) OR (* | *:*"
    found = entries_of(ask(gateway, scope=scope, expression={"search": search}))
    assert {entry["service"] for entry in found} <= {"billing"}


def test_requests_that_do_not_fit(gateway: Gateway, fake: FakeServer) -> None:
    """The adapter's and the server's refusals both are 400 and name what is wrong."""
    before = len(fake.seen)
    body = failed(ask(gateway, expression=one_filter("x", "like", "y")), 400, "bad_request")
    assert "expression.filters[0].operator" in body["message"]
    body = failed(ask(gateway, metadata={"index": "secret-*"}), 400, "bad_request")
    assert "metadata.index" in body["message"]
    backwards = {"start": HOUR["end"], "end": HOUR["start"]}
    failed(gateway.request("POST", "/logs/query", backwards), 400, "bad_request")
    assert len(fake.seen) == before
    unfit = one_filter("http.response.status_code", "=", "many")
    body = failed(ask(gateway, expression=unfit), 502, "provider_error")
    assert "number_format_exception" in body["message"]
    fake.fail_next(
        Fault(
            status=400,
            body='{"error": {"root_cause": [{"type": "a_type", "reason": "too_many_clauses"}]}}',
        )
    )
    body = failed(ask(gateway), 400, "bad_request")
    assert "a_type: too_many_clauses" in body["message"]


def test_missing_indices(gateway: Gateway, fake: FakeServer) -> None:
    """The server's 404 says which kind of nothing it is."""
    missing = {"error": {"type": "index_not_found_exception"}}
    fake.fail_next(Fault(status=404, body=json.dumps(missing)))
    failed(ask(gateway), 404, "not_found")
    fake.fail_next(Fault(status=404, body="<html>nothing here</html>"))
    body = failed(ask(gateway), 502, "provider_error")
    assert "addresses" in body["message"] and "<html>" not in body["message"]


def test_refused_credentials(gateway: Gateway, fake: FakeServer) -> None:
    """The vendor's 401 is not the caller's; 403 names what is missing."""
    fake.fail_next(Fault(status=401, body=f"bad password {SECRET}"))
    failed(ask(gateway), 502, "auth_failed")
    fake.fail_next(Fault(status=403, body=f"no permissions {SECRET}"))
    assert "read" in failed(ask(gateway), 502, "auth_failed")["message"]


def test_rate_limits(gateway: Gateway, fake: FakeServer, state: State) -> None:
    """How long to wait is passed on; a short trouble is waited for."""
    fake.fail_next(Fault(status=429, headers={"Retry-After": "77"}))
    limited(ask(gateway), 77)
    state.busy = 1
    assert entries_of(ask(gateway, limit=1))


def test_timeouts(gateway: Gateway, fake: FakeServer, state: State) -> None:
    """A silent server, one that gave up, and half an answer; then all is well."""
    fake.fail_next(Fault(hang=True))
    failed(ask(gateway), 504, "upstream_timeout")
    fake.fail_next(Fault(status=408))
    failed(ask(gateway), 504, "upstream_timeout")
    state.timed_out = True
    try:
        [entry] = entries_of(ask(gateway, limit=1))
        nothing = one_filter("path", "=", "nowhere")
        failed(ask(gateway, expression=nothing), 504, "upstream_timeout")
    finally:
        state.timed_out = False
    assert entry["metadata"]["partial"] is True
    assert entries_of(ask(gateway, limit=1))


def test_a_page_that_fails(gateway: Gateway, fake: FakeServer) -> None:
    """The whole query fails, and what the server kept is freed."""

    def is_second_page(seen: Seen) -> bool:
        return seen.path == "/_search" and "search_after" in (seen.json or {})

    fake.fail_next(Fault(status=500, body=f"<html>{SECRET}</html>", when=is_second_page))
    body = failed(ask(gateway, limit=1500), 502, "provider_error")
    assert "<html>" not in body["message"]


def test_other_failures_of_the_server(gateway: Gateway, fake: FakeServer) -> None:
    """They are 502, without the server's page."""
    for fault in (
        Fault(status=200, body="<html>please log in</html>"),
        Fault(status=200, body="{}"),
        Fault(status=302, headers={"Location": "https://login.example.com/"}),
    ):
        fake.fail_next(fault)
        body = failed(ask(gateway), 502, "provider_error")
        assert "<html>" not in body["message"]


def test_a_lost_connection_is_bridged(gateway: Gateway, fake: FakeServer) -> None:
    """Reads are tried again."""
    fake.fail_next(Fault(drop=True))
    assert len(entries_of(ask(gateway, limit=3))) == 3


def test_no_secret_on_a_command_line(gateway: Gateway) -> None:
    """Neither of the gateway nor of the processes that it started."""
    assert entries_of(ask(gateway, limit=1))
    own = [pid for pid in all_pids() if gateway.process.pid in ancestors(pid)]
    assert len(own) >= 2
    assert not any(SECRET in " ".join(command(pid)) for pid in own)


def test_wrong_addresses_and_settings(way: str) -> None:
    """A cluster that is not there, and a setting that does not fit, are told by name."""
    address = f"127.0.0.1:{free_port()}"
    lost = {"addresses": f"http://ops:{SECRET}@{address}"}
    with guarded_gateway(env_of("elasticsearch", way, {"LOG": lost})) as gateway:
        body = failed(ask(gateway), 502, "upstream_unreachable")
        assert address in body["message"]
    unfit = {"addresses": ["not-a-url"], "bearerToken": SECRET}
    with guarded_gateway(env_of("elasticsearch", way, {"LOG": unfit})) as gateway:
        body = failed(ask(gateway), 502, "invalid_config")
        assert "addresses[0]" in body["message"]
        assert "not-a-url" not in body["message"]
        assert gateway.request("GET", "/health").status == 200


@pytest.mark.parametrize("name", ["elasticsearch", "elastic"])
def test_the_guides_example_works(name: str, tmp_path: pathlib.Path) -> None:
    """Its .env, changed only in the address, under both names of the adapter."""
    state = seeded(30)
    state.basic_auth("elastic", "changeme")
    with serving(make_app(state)) as server:
        env = GUIDE_ENV.replace("http://elasticsearch:9200", server.url)
        (tmp_path / ".env").write_text(env)
        plugin = {"OPSORCH_LOG_PLUGIN": f"bundled:{name}"}
        with running_gateway(plugin, tmp_path) as gateway:
            headers = {"Authorization": "Bearer your-secure-token"}
            answer = gateway.request("POST", "/logs/query", HOUR, headers=headers)
            assert gateway.request("POST", "/logs/query", HOUR).status == 401
            log = gateway.log()
    assert len(entries_of(answer)) == 30
    assert "changeme" not in log and "your-secure-token" not in log


@pytest.fixture
def recent_fake() -> Iterator[FakeServer]:
    """A cluster whose newest entry is of now."""
    state = seeded(1500, datetime.datetime.now(datetime.UTC).replace(microsecond=0))
    old = seeded(300)
    for recent, older in zip(state.indices, old.indices, strict=True):
        recent.documents += older.documents
    state.basic_auth("elastic", "changeme")
    with serving(make_app(state)) as server:
        yield server


def test_the_readme_works_as_written(recent_fake: FakeServer) -> None:
    """Its environment and its commands, but for the address of the cluster."""
    examples = examples_of("elasticsearch", curls=4)
    answers = answers_to(examples, at(recent_fake.url, examples.env, "http://localhost:9200"))
    assert all(entries_of(answer) for answer in answers)

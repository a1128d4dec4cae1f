"""More than one page: points in time of both families, and what happens without them."""

from collections.abc import Callable
from typing import Any

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import OpsOrchError, ProviderError
from opsorch.plugin import Call
from opsorch_plugins.elasticsearch.provider import ElasticsearchLogs
from tests.fakes.elasticsearch import State, make_app, seeded
from tests.plugins.elasticsearch.support import (
    ADDRESS,
    SEARCH,
    Json,
    answer,
    answered_by,
    hits,
    problem,
    sent,
)

Build = Callable[..., ElasticsearchLogs]

OPEN = f"{ADDRESS}/logs-%2A/_pit?keep_alive=1m"
PAGE = f"{ADDRESS}/_search"
CLOSE = f"{ADDRESS}/_pit"
BANNER = f"{ADDRESS}/"
MANY = {"limit": 2500}


def made(http: requests_mock.Mocker) -> list[str]:
    return [f"{r.method} {r.path}" for r in http.request_history]


@pytest.mark.case("elasticsearch", 9)
@pytest.mark.parametrize("flavor", ["auto", "elasticsearch"])
def test_a_point_in_time_is_opened_read_and_closed(
    http: requests_mock.Mocker, logs_of: Build, call: Call, flavor: str
) -> None:
    """Each page begins behind the last hit, with the newest id."""
    http.get(BANNER, json={"version": {"number": "8.17.0"}})
    http.post(OPEN, json={"id": "p1"})
    pages = [
        answer(hits(1000, 0, second=True), pit_id="p2"),
        answer(hits(1000, 1000, second=True), pit_id="p3"),
        answer(hits(500, 2000, second=True), pit_id="p4"),
    ]
    http.post(PAGE, [{"json": page} for page in pages])
    http.delete(CLOSE, json={"succeeded": True})
    found = logs_of(flavor=flavor).query(MANY, call)["entries"]
    assert [entry["message"] for entry in found] == [f"m{n}" for n in range(2500)]
    calls = ["POST /logs-%2A/_pit", *["POST /_search"] * 3, "DELETE /_pit"]
    assert made(http) == (["GET /"] if flavor == "auto" else []) + calls
    first, second, third = (sent(http, at) for at in (-4, -3, -2))
    assert first["pit"] == {"id": "p1", "keep_alive": "1m"}
    assert "search_after" not in first
    assert (second["pit"]["id"], third["pit"]["id"]) == ("p2", "p3")
    assert second["search_after"] == [1_714_978_800_000 - 999, "h999"]
    assert third["search_after"] == [1_714_978_800_000 - 1999, "h1999"]
    assert [page["size"] for page in (first, second, third)] == [1000, 1000, 500]
    assert sent(http) == {"id": "p4"}


@pytest.mark.case("elasticsearch", 10)
def test_a_failing_page_fails_the_query_and_closes_the_point_in_time(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """A part that looks like the whole would be worse than an error."""
    http.post(OPEN, json={"id": "p1"})
    broken = problem("search_phase_execution_exception", "all shards failed", 500)
    first = {"json": answer(hits(1000, second=True), pit_id="p2")}
    http.post(PAGE, [first, {"status_code": 500, "json": broken}])
    http.delete(CLOSE, status_code=500)
    with pytest.raises(ProviderError, match="all shards failed"):
        logs_of(flavor="elasticsearch").query(MANY, call)
    assert made(http)[-1] == "DELETE /_pit"
    assert sent(http) == {"id": "p2"}


def test_a_page_that_is_refused_has_the_newest_id_too(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """All of its shards failed; the point in time is closed by it."""
    http.post(OPEN, json={"id": "p1"})
    http.post(PAGE, json=answer(pit_id="p2", _shards={"failed": 1}))
    http.delete(CLOSE, json={})
    with pytest.raises(ProviderError, match="shards failed"):
        logs_of(flavor="elasticsearch").query(MANY, call)
    assert sent(http) == {"id": "p2"}


@pytest.mark.case("elasticsearch", 11)
def test_opensearch_has_its_own_paths(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """The banner tells; it is asked once."""
    http.get(BANNER, json={"version": {"distribution": "opensearch", "number": "2.11.1"}})
    http.post(f"{ADDRESS}/logs-%2A/_search/point_in_time?keep_alive=1m", json={"pit_id": "p1"})
    pages = [answer(hits(1000, 0, second=True)), answer(hits(900, 1000, second=True))]
    http.post(PAGE, [{"json": page} for page in pages * 2])
    http.delete(f"{ADDRESS}/_search/point_in_time", json={"pits": []})
    provider = logs_of()
    assert len(provider.query(MANY, call)["entries"]) == 1900
    assert sent(http) == {"pit_id": ["p1"]}
    assert sent(http, -2)["sort"][1] == {"_id": {"order": "asc"}}
    provider.query(MANY, call)
    assert made(http).count("GET /") == 1


@pytest.mark.case("elasticsearch", 11)
@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_without_points_in_time_pages_go_by_offset(
    http: requests_mock.Mocker, logs_of: Build, call: Call, status: int
) -> None:
    """As far as servers allow it."""
    http.get(BANNER, status_code=403, json=problem("security_exception"))
    http.post(OPEN, status_code=status, json=problem("security_exception", status=status))
    pages = [answer(hits(1000, 0)), answer(hits(1000, 1000)), answer(hits(500, 2000))]
    http.post(SEARCH, [{"json": page} for page in pages])
    assert len(logs_of().query(MANY, call)["entries"]) == 2500
    assert [sent(http, at).get("from") for at in (-3, -2, -1)] == [None, 1000, 2000]
    assert [sent(http, at)["size"] for at in (-3, -2, -1)] == [1000, 1000, 500]


def test_offsets_end_at_the_window(http: requests_mock.Mocker, logs_of: Build, call: Call) -> None:
    """What is beyond is missing, and that is said."""
    http.post(OPEN, status_code=405)
    http.post(SEARCH, json=answer(hits(5000)))
    config = {"flavor": "elasticsearch", "pageSize": 5000, "maxResults": 20_000}
    found = logs_of(**config).query({"limit": 20_000}, call)["entries"]
    assert len(found) == 10_000
    assert found[0]["metadata"]["partial"] is True
    assert http.call_count == 3


class Clock:
    """A clock that each page moves on."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def page(self, *_: Any) -> Json:
        self.now += 9.8
        return answer(hits(10, second=True), pit_id="p2")


@pytest.mark.parametrize("pits", [True, False])
def test_when_time_runs_out_what_there_is_is_answered(
    http: requests_mock.Mocker, logs_of: Build, pits: bool
) -> None:
    """And marked as partial."""
    clock = Clock()
    http.post(OPEN, status_code=200 if pits else 404, json={"id": "p1"})
    http.post(PAGE, json=clock.page)
    http.post(SEARCH, json=clock.page)
    http.delete(CLOSE, json={})
    deadline = Deadline.after(30.0, clock=clock)
    provider = logs_of(flavor="elasticsearch", pageSize=10)
    found = provider.query({"limit": 5000}, Call(deadline))["entries"]
    assert len(found) == 30
    assert all(entry["metadata"]["partial"] for entry in found)
    assert made(http)[-1] == ("DELETE /_pit" if pits else "POST /logs-%2A/_search")


def test_a_page_that_is_not_full_is_the_last(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Also an empty one."""
    http.post(OPEN, json={"id": "p1"})
    http.post(PAGE, [{"json": answer(hits(1000, second=True))}, {"json": answer()}])
    http.delete(CLOSE, json={})
    provider = logs_of(flavor="elasticsearch")
    assert len(provider.query(MANY, call)["entries"]) == 1000
    assert made(http).count("POST /_search") == 2


def test_a_point_in_time_needs_an_id(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Another server's JSON is not taken for one."""
    http.post(OPEN, json={"ok": True})
    with pytest.raises(ProviderError, match="without an id"):
        logs_of(flavor="elasticsearch").query(MANY, call)


def test_opening_is_sent_once_more_only_without_a_connection(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """A busy server is told to the caller."""
    http.post(OPEN, [{"exc": ConnectionRefusedError}, {"json": {"id": "p1"}}])
    http.post(PAGE, json=answer())
    http.delete(CLOSE, json={})
    provider = logs_of(flavor="elasticsearch")
    assert provider.query(MANY, call) == {"entries": []}
    assert made(http).count("POST /logs-%2A/_pit") == 2
    http.post(OPEN, status_code=503)
    with pytest.raises(OpsOrchError, match="503"):
        provider.query(MANY, call)
    assert made(http).count("POST /logs-%2A/_pit") == 3


@pytest.mark.usefixtures("fixed_now")
@pytest.mark.parametrize("opensearch", [False, True])
@pytest.mark.parametrize("pits", [False, True])
def test_pages_of_a_cluster_hold_each_entry_once(
    http: requests_mock.Mocker, logs_of: Build, call: Call, opensearch: bool, pits: bool
) -> None:
    """Over both families, with and without points in time, which all are closed."""
    state: State = seeded(700)
    state.opensearch, state.pits = opensearch, pits
    answered_by(make_app(state), http)
    payload: Json = {"limit": 650, "metadata": {"sort": "asc"}}
    entries = logs_of(pageSize=100).query(payload, call)["entries"]
    ids = [entry["metadata"]["_id"] for entry in entries]
    assert ids == [f"d{n:05}" for n in range(699, 49, -1)]
    assert state.open_pits == {}

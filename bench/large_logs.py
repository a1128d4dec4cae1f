"""How long 10,000 log entries take from Elasticsearch's JSON to the plugin's reply, and where.

    python bench/large_logs.py [--entries 10000] [--rounds 7] [--profile]

Prints microseconds of CPU time an entry (best of the rounds) for each step of two kinds of
documents: nested ones as of the Elastic Common Schema, and flat ones of a service's own logger.
The last row is the whole way through the provider, with HTTP replaced by memory and ten pages.
"""

import argparse
import cProfile
import gc
import pstats
import time
from collections.abc import Callable
from typing import Any

import msgspec
import requests_mock

from opsorch.deadline import Deadline
from opsorch.plugin import Call
from opsorch.plugin.http import Reply
from opsorch.plugin.serve import GARBAGE_THRESHOLD, _encoded
from opsorch_plugins.elasticsearch.client import page_of
from opsorch_plugins.elasticsearch.concepts import CANDIDATES
from opsorch_plugins.elasticsearch.mapping import Reading
from opsorch_plugins.elasticsearch.provider import ElasticsearchLogs

Json = dict[str, Any]
ADDRESS = "http://elastic.test:9200"
PAGE = 1000


def nested(number: int) -> Json:
    """A document as Elastic's agents write it in Kubernetes."""
    return {
        "@timestamp": f"2024-05-06T07:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:03}Z",
        "message": f"GET /v1/items/{number} answered 200 in {number % 97} ms",
        "log": {"level": "INFO", "logger": "http.server", "offset": number},
        "service": {"name": "checkout", "environment": "prod", "version": "1.2.3"},
        "host": {"name": f"node-{number % 9}", "architecture": "x86_64", "ip": ["10.0.0.1"]},
        "kubernetes": {
            "namespace": "shop",
            "pod": {"name": f"checkout-{number % 30}", "uid": "0f9c1d4e"},
            "labels": {"app": "checkout", "team": "payments"},
        },
        "container": {"name": "main", "id": "3b5c0a"},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 200, "bytes": 5120}},
        "trace": {"id": f"{number:032x}"},
        "event": {"duration": number * 1000, "outcome": None},
        "ecs": {"version": "8.11"},
        "tags": ["web", "eu"],
    }


def flat(number: int) -> Json:
    """A document of a logger that knows one level."""
    return {
        "@timestamp": f"2024-05-06T07:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:03}Z",
        "level": "warn",
        "msg": f"retrying item {number}",
        "service": "checkout",
        "env": "prod",
        "team": "payments",
        "path": f"/v1/items/{number}",
        "attempt": number % 5,
        "elapsed": 0.25,
    }


def upstream(document: Callable[[int], Json], first: int, count: int) -> bytes:
    """One page as the server sends it."""
    hits = [
        {
            "_index": ".ds-logs-app-prod-2024.05.06-000001",
            "_id": f"id-{n}",
            "_score": None,
            "_source": document(n),
            "sort": [1_714_979_289_000 - n, n],
        }
        for n in range(first, first + count)
    ]
    shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
    return msgspec.json.encode(
        {"took": 5, "timed_out": False, "_shards": shards, "hits": {"hits": hits}, "pit_id": "p"}
    )


def best_us(step: Callable[[], Any], rounds: int, entries: int) -> float:
    """CPU microseconds an entry, best of the rounds."""
    times = []
    for _ in range(rounds):
        gc.collect()
        began = time.process_time()
        step()
        times.append(time.process_time() - began)
    return min(times) * 1e6 / entries


def steps(document: Callable[[int], Json], entries: int, rounds: int) -> dict[str, float]:
    """Time each step of one kind of document."""
    pages = [upstream(document, first, PAGE) for first in range(0, entries, PAGE)]
    replies = [Reply(200, {}, page, ADDRESS) for page in pages]
    reading = Reading.of(CANDIDATES, "@timestamp")

    def decode() -> list[Any]:
        return [hit for reply in replies for hit in page_of(reply).hits.hits]

    def decode_and_map() -> Json:
        return {"entries": reading.entries(decode())}

    result = decode_and_map()
    decoded = best_us(decode, rounds, entries)
    return {
        "decode upstream JSON": decoded,
        "map to entries": best_us(decode_and_map, rounds, entries) - decoded,
        "encode reply, strict": best_us(lambda: _encoded({"result": result}, {}), rounds, entries),
        "whole, over pages": whole(pages, entries, rounds),
    }


def whole(pages: list[bytes], entries: int, rounds: int) -> float:
    """Time a query through the provider, over the pages of a point in time."""
    with requests_mock.Mocker() as http:
        http.post(f"{ADDRESS}/logs-%2A/_pit", json={"id": "p"})
        http.delete(f"{ADDRESS}/_pit", json={})
        provider = ElasticsearchLogs(
            {"addresses": [ADDRESS], "flavor": "elasticsearch", "pageSize": PAGE}
        )

        def query() -> None:
            http.post(f"{ADDRESS}/_search", [{"content": page} for page in pages])
            call = Call(Deadline.after(300))
            reply = _encoded({"result": provider.query({"limit": entries}, call)}, {})
            assert reply.count(b'"message"') >= entries

        return best_us(query, rounds, entries)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true", help="show the costliest functions")
    options = parser.parse_args()
    # As in a plugin process.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)
    entries = max(PAGE, options.entries // PAGE * PAGE)
    for document in (nested, flat):
        size = len(upstream(document, 0, PAGE)) // PAGE
        print(f"{document.__name__}: {entries} entries of {size} bytes")
        for name, us in steps(document, entries, options.rounds).items():
            print(f"  {name:<24}{us:8.2f} us an entry{us * entries / 1000:10.1f} ms")
    if options.profile:
        profile = cProfile.Profile()
        pages = [upstream(nested, first, PAGE) for first in range(0, entries, PAGE)]
        profile.runcall(whole, pages, entries, 1)
        pstats.Stats(profile).sort_stats("tottime").print_stats(15)


if __name__ == "__main__":
    main()

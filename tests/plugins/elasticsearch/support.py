"""What the tests of this adapter share."""

import datetime
import json
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any

import flask
import msgspec
import requests_mock

Json = dict[str, Any]

ADDRESS = "http://elastic.test:9200"
SEARCH = f"{ADDRESS}/logs-%2A/_search"
NOW = datetime.datetime(2024, 5, 6, 7, 0, 0, tzinfo=datetime.UTC)
FIELDS = {
    "message": ("message", "msg", "log", "body.text", "body", "event.original"),
    "severity": ("log.level", "severity", "level", "severity_text", "loglevel", "log.severity"),
    "service": (
        "service.name",
        "service",
        "resource.attributes.service.name",
        "kubernetes.labels.app_kubernetes_io/name",
        "app",
    ),
    "environment": (
        "service.environment",
        "environment",
        "env",
        "deployment.environment",
        "resource.attributes.deployment.environment",
    ),
    "team": ("team", "labels.team", "service.team", "kubernetes.labels.team"),
}


def hit(number: int, source: Any, **more: Any) -> Json:
    shown = {"_index": "logs-a", "_id": f"h{number}", "_score": None, "_source": source}
    return {**shown, "sort": [1_714_978_800_000 - number], **more}


def hits(number: int, start: int = 0, second: bool = False) -> list[Json]:
    """Hits of one page; ``second`` adds the tiebreaker of a point in time."""
    found = [hit(n, {"message": f"m{n}"}) for n in range(start, start + number)]
    return [{**h, "sort": [*h["sort"], h["_id"]]} for h in found] if second else found


def answer(found: Iterable[Json] = (), **more: Any) -> Json:
    shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
    reply = {"took": 1, "timed_out": False, "_shards": shards, "hits": {"hits": list(found)}}
    return {**reply, **more}


def problem(kind: str, reason: str = "words of the server", status: int = 400) -> Json:
    cause = {"type": kind, "reason": reason}
    return {"error": {"root_cause": [cause], **cause}, "status": status}


def sent(http: requests_mock.Mocker, at: int = -1) -> Json:
    """The decoded body of a recorded request."""
    body: Json = json.loads(http.request_history[at].body)
    return body


def filters(http: requests_mock.Mocker) -> list[Json]:
    """The filter clauses of the last search, its time range left out."""
    found: list[Json] = sent(http)["query"]["bool"]["filter"]
    assert "range" in found[0]
    return found[1:]


def either(*clauses: Json) -> Json:
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def both(query: str, names: Iterable[str], value: Any) -> Json:
    """A query on each field and its .keyword."""
    return either(*({query: {n: value}} for name in names for n in (name, f"{name}.keyword")))


def as_json(result: Any) -> Any:
    """The result as a caller gets it."""
    return json.loads(msgspec.json.encode(result))


def answered_by(app: flask.Flask, http: requests_mock.Mocker) -> None:
    """Let an application answer everything, without a socket between."""
    client = app.test_client()

    def reply(request: Any, context: Any) -> bytes:
        parts = urllib.parse.urlsplit(request.url)
        answered = client.open(
            f"{parts.path}?{parts.query}",
            method=request.method,
            data=request.body,
            headers=dict(request.headers),
        )
        context.status_code = answered.status_code
        context.headers.update(dict(answered.headers))
        data: bytes = answered.data
        return data

    http.register_uri(requests_mock.ANY, requests_mock.ANY, content=reply)


def strings_in(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_in(inner)

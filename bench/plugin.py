"""A plugin to measure with: the call itself says how it is to be answered. No library, no SDK.

A request's metadata (of the query, or of the input of a write) may hold an object ``bench``:

    entries   answer that many log entries
    sleepMs   answer after so long, as a slow upstream would make it
    fault     misbehave: one of FAULTS

The answer carries the token of the request (``query``, ``id``, ``title``, ``body``, ``channel``,
or ``search``), so that the caller can tell its own. Writes are noted, a line each, in the file that
``config.journal`` names, before anything else happens.
"""

import functools
import json
import os
import sys
import time
from typing import Any

Json = dict[str, Any]

FAULTS = {
    "crash": "exits with the request unanswered, each time",
    "crash_once": "exits with the request unanswered, the first time",
    "hang": "never answers",
    "garbage": "writes half a reply and bytes that are no JSON",
    "slow": "answers late, but in time",
}

NOW = "2024-05-06T07:08:09Z"
_PARTIAL = b'{"result":[\xff\xfe\n'


def main() -> None:
    """Answer requests until stdin ends."""
    for line in sys.stdin.buffer:
        request = json.loads(line)
        reply = answer(request["method"], request.get("payload") or {}, request.get("config") or {})
        _write(b'{"id":%b,"result":%b}\n' % (json.dumps(request.get("id")).encode(), reply))


def answer(method: str, payload: Json, config: Json) -> bytes:
    """Return the raw result, or misbehave as the payload asks."""
    given = payload.get("input") or payload
    wish = (given.get("metadata") or {}).get("bench") or {}
    token = token_of(given)
    if method in WRITES and config.get("journal"):
        _note(config["journal"], f"{token}\n")
    if "fault" in wish:
        misbehave(wish["fault"], token, config)
    if "sleepMs" in wish:
        time.sleep(wish["sleepMs"] / 1000)
    if "entries" in wish:
        return _with_token(log_result(wish["entries"]), token)
    return json.dumps(RESULTS[method](token)).encode()


def token_of(given: Json) -> str:
    """Find what tells this request from others; "" where there is nothing."""
    names = ("query", "title", "body", "channel", "id")
    if "expression" in given:
        return str(given["expression"].get("search", ""))
    return next((given[name] for name in names if given.get(name)), "")


def misbehave(fault: str, token: str, config: Json) -> None:
    """Do what the call asks for; returns where it is to be answered after all."""
    if fault == "hang":
        time.sleep(3600)
    if fault == "garbage":
        _write(_PARTIAL)
        time.sleep(3600)
    if fault == "slow":
        time.sleep(0.5)
    if fault == "crash" or (fault == "crash_once" and _first(config["journal"], token)):
        os._exit(3)


def _first(journal: str, token: str) -> bool:
    """Tell whether this token is seen for the first time, by any process."""
    try:
        os.close(os.open(f"{journal}.{token}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def _note(path: str, line: str) -> None:
    """Append one line; O_APPEND keeps the lines of several processes apart."""
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _incidents(token: str) -> list[Json]:
    return [_incident(token)] if token else []


def _incident(token: str) -> Json:
    return {
        "id": token,
        "title": token,
        "status": "open",
        "severity": "sev2",
        "createdAt": NOW,
        "updatedAt": NOW,
    }


def _entries(token: str) -> Json:
    return {"entries": [{"timestamp": NOW, "message": token}] if token else []}


def _sent(token: str) -> Json:
    return {"id": token, "channel": token, "sentAt": NOW}


RESULTS = {
    "incident.query": _incidents,
    "incident.get": _incident,
    "incident.create": _incident,
    "incident.update": _incident,
    "alert.query": _incidents,
    "alert.get": _incident,
    "log.query": _entries,
    "messaging.send": _sent,
}
WRITES = frozenset({"incident.create", "incident.update", "messaging.send"})


@functools.cache
def log_result(count: int) -> bytes:
    """Make a result of log.query: entries as a service in Kubernetes writes them."""
    entries = [_entry(number) for number in range(count)]
    return json.dumps({"entries": entries}, separators=(",", ":")).encode()


def _with_token(result: bytes, token: str) -> bytes:
    """Put an entry with the token before the others, if there is a token."""
    if not token:
        return result
    first = json.dumps({"timestamp": NOW, "message": token}).encode()
    return b'{"entries":[%b,%b' % (first, result.removeprefix(b'{"entries":['))


def _entry(number: int) -> Json:
    minute, second = divmod(number % 3600, 60)
    return {
        "timestamp": f"2024-05-06T07:{minute:02}:{second:02}.{number * 7919 % 10**9:09}Z",
        "message": f"GET /v1/items/{number} answered 200 in {number % 97} ms",
        "severity": "info",
        "service": "checkout",
        "labels": {"app": "checkout", "team": "payments", "pod": f"checkout-7d9f-{number % 30}"},
        "fields": {
            "http": {"method": "GET", "status": 200, "bytes": 5120 + number},
            "duration_ms": number % 97 + 0.25,
            "sampled": number % 2 == 0,
        },
        "metadata": {"index": "logs-app-prod-2024.05.06", "id": f"doc-{number}"},
    }


if __name__ == "__main__":
    main()

"""What the tests of this adapter share."""

import datetime
import urllib.parse
from typing import Any

PROMETHEUS = "http://prometheus.test:9090"
ALERTMANAGER = "http://alertmanager.test:9093"
NOW = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)


def sent(request: Any) -> dict[str, list[str]]:
    """The parameters of a recorded request, letter case kept, from its URL or form."""
    text = urllib.parse.urlsplit(request.url).query if request.method == "GET" else request.text
    return urllib.parse.parse_qs(text or "", keep_blank_values=True, strict_parsing=bool(text))


def answer(kind: str, result: Any, **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}, **more}


EMPTY = answer("matrix", [])

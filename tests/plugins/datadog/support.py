"""What the tests of this adapter share."""

import urllib.parse
from typing import Any

Json = dict[str, Any]

API = "https://api.datadoghq.com"
APP = "https://app.datadoghq.com"
API_KEY = "api-key-0123456789abcdef-of-the-test"
APP_KEY = "app-key-fedcba9876543210-of-the-test"
CONFIG: Json = {"apiKey": API_KEY, "appKey": APP_KEY}

TIMESERIES = f"{API}/api/v2/query/timeseries"
METRICS = f"{API}/api/v2/metrics"
LOGS = f"{API}/api/v2/logs/events/search"
MONITORS = f"{API}/api/v1/monitor"
INCIDENTS = f"{API}/api/v2/incidents"
SEARCH = f"{INCIDENTS}/search"
DEFINITIONS = f"{API}/api/v2/services/definitions"
CATALOG = f"{API}/api/v2/catalog/entity"

START, END = "2024-05-06T07:00:00Z", "2024-05-06T08:00:00Z"
START_MS, END_MS = 1714978800000, 1714982400000
UUID = "00000000-0000-0000-0000-0000000004d2"


def sent(request: Any) -> dict[str, str]:
    """The query of a recorded request, letter case kept; no name comes twice."""
    query = urllib.parse.urlsplit(request.url).query
    found = urllib.parse.parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


def timeseries(*series: Json, times: list[int] | None = None) -> Json:
    """An answer with series of ``tags``, ``values`` and perhaps ``unit``."""
    return {
        "data": {
            "type": "timeseries_response",
            "attributes": {
                "times": times or [START_MS, START_MS + 60_000, START_MS + 120_000],
                "series": [
                    {
                        "group_tags": one.get("tags", []),
                        "query_index": 0,
                        "unit": one.get("unit", [None, None]),
                    }
                    for one in series
                ],
                "values": [one["values"] for one in series],
            },
        }
    }


def events(*messages: str, after: str = "", **attributes: Any) -> Json:
    """A page of log events."""
    data = [
        {
            "id": f"log-{message}",
            "type": "log",
            "attributes": {
                "timestamp": "2024-05-06T07:08:09.123Z",
                "message": message,
                "status": "info",
                **attributes,
            },
        }
        for message in messages
    ]
    return {
        "data": data,
        "meta": {"status": "done", **({"page": {"after": after}} if after else {})},
    }


def incident(number: int = 1234, title: str = "Disk full", **more: Any) -> Json:
    """An incident as the API answers it; ``fields`` are values by name."""
    values = {"state": "active", "severity": "SEV-2", **more.pop("fields", {})}
    return {
        "id": f"00000000-0000-0000-0000-{number:012x}",
        "type": "incidents",
        "attributes": {
            "public_id": number,
            "title": title,
            "created": "2024-05-06T07:08:09.123456+00:00",
            "modified": "2024-05-06T09:08:09+02:00",
            "customer_impacted": False,
            "fields": {
                name: {
                    "type": "autocomplete" if isinstance(value, list) else "dropdown",
                    "value": value,
                }
                for name, value in values.items()
            },
            **more,
        },
    }


def hits(*incidents: Json) -> Json:
    """A page of search results."""
    found = [{"data": one} for one in incidents]
    return {"data": {"attributes": {"incidents": found, "total": len(found), "facets": {}}}}

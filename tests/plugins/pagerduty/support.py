"""What the tests of this adapter share; objects look as in PagerDuty's documented examples."""

import urllib.parse
from typing import Any

Json = dict[str, Any]

API = "https://api.pagerduty.test"
TOKEN = "secret123-of-the-test"
SERVICE = "PIJ90N7"
CONFIG: Json = {
    "apiToken": TOKEN,
    "serviceID": SERVICE,
    "fromEmail": "ops@example.com",
    "apiURL": API,
}
INCIDENTS = f"{API}/incidents"


def sent(request: Any) -> dict[str, list[str]]:
    """The query of a recorded request, letter case kept."""
    query = urllib.parse.urlsplit(request.url).query
    return urllib.parse.parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))


def path_of(request: Any) -> str:
    return urllib.parse.urlsplit(request.url).path


def page(key: str, items: list[Any], *, more: bool = False) -> Json:
    return {key: items, "limit": 100, "offset": 0, "total": None, "more": more}


def incidents(first: int, count: int, **more: Any) -> list[Json]:
    return [
        {"id": f"P{n:06}", "title": f"Trouble {n}", **more} for n in range(first, first + count)
    ]


FULL: Json = {
    "id": "PT4KHLK",
    "type": "incident",
    "summary": "[#1234] The server is on fire.",
    "html_url": "https://subdomain.pagerduty.com/incidents/PT4KHLK",
    "incident_number": 1234,
    "created_at": "2015-10-06T21:30:42Z",
    "updated_at": "2015-10-06T17:40:23-04:00",
    "resolved_at": "2015-10-06T21:38:23Z",
    "status": "resolved",
    "title": "The server is on fire.",
    "incident_key": "baf7cf21b1da41b4b0221008339ff357",
    "service": {
        "id": SERVICE,
        "type": "service_reference",
        "summary": "My Mail Service",
        "html_url": "https://subdomain.pagerduty.com/service-directory/PIJ90N7",
    },
    "priority": {"id": "P53ZZH5", "type": "priority_reference", "summary": "P2"},
    "assignments": [
        {
            "at": "2015-11-10T00:31:52Z",
            "assignee": {
                "id": "PXPGF42",
                "type": "user_reference",
                "summary": "Earline Greenholt",
                "html_url": "https://subdomain.pagerduty.com/users/PXPGF42",
            },
        }
    ],
    "last_status_change_at": "2015-10-06T21:38:23Z",
    "escalation_policy": {"id": "PT20YPA", "summary": "Another Escalation Policy"},
    "teams": [{"id": "PQ9K7I8", "type": "team_reference", "summary": "Engineering"}],
    "alert_counts": {"all": 2, "triggered": 0, "resolved": 2},
    "urgency": "high",
}

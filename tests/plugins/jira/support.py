"""What the tests of this adapter share."""

import json
from typing import Any

Json = dict[str, Any]

SITE = "https://example.atlassian.test"
API = f"{SITE}/rest/api/3"
SEARCH = f"{API}/search/jql"
ISSUE = f"{API}/issue"
TOKEN = "a-token-of-the-tests"
CONFIG: Json = {
    "apiToken": TOKEN,
    "email": "ops@example.test",
    "apiURL": SITE,
    "projectKey": "OPS",
}


def an_issue(number: int = 1, **fields: Any) -> Json:
    """An issue as Jira writes it."""
    return {
        "id": str(10000 + number),
        "key": f"OPS-{number}",
        "self": f"{ISSUE}/{10000 + number}",
        "fields": {
            "summary": f"Issue {number}",
            "status": {"name": "To Do", "statusCategory": {"key": "new"}},
            "created": "2025-11-21T10:00:00.000+0000",
            "updated": "2025-11-21T10:00:00.120+0000",
            **fields,
        },
    }


def page(*issues: Json, **more: Any) -> Json:
    return {"issues": list(issues), **more}


def a_transition(number: str, name: str, to: str, category: str, **more: Any) -> Json:
    return {
        "id": number,
        "name": name,
        "to": {"name": to, "statusCategory": {"key": category}},
        "isGlobal": False,
        "isAvailable": True,
        "looped": False,
        "hasScreen": True,
        "fields": {},
        **more,
    }


def paragraph(*nodes: Json | str) -> Json:
    content = [{"type": "text", "text": n} if isinstance(n, str) else n for n in nodes]
    return {"type": "paragraph", **({"content": content} if content else {})}


def doc(*blocks: Json) -> Json:
    return {"type": "doc", "version": 1, "content": list(blocks)}


def sent(request: Any) -> Json:
    """The JSON body of a recorded request."""
    body: Json = json.loads(request.text)
    return body


def calls(http: Any) -> list[str]:
    """The recorded requests, in order, as ``VERB path`` below the API."""
    return [
        f"{r.method} {r.url.partition('/rest/api/3')[2].partition('?')[0]}"
        for r in http.request_history
    ]

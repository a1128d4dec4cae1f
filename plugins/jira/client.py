"""HTTP to Jira Cloud: credentials, errors, pages of a search, and one method an endpoint."""

import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opsorch.errors import AuthFailed, BadRequest, NotFound, OpsOrchError, ProviderError
from opsorch.observability.redact import Redactor
from opsorch.plugin import Call
from opsorch.plugin.connection import basic_auth
from opsorch.plugin.http import Dialect, Reply, Upstream, retry_after
from opsorch.plugin.payload import Json
from opsorch.plugin.reply import answered, decoded_object, decoded_objects
from opsorch.plugin.times import now
from opsorch.plugin.urls import url_part
from opsorch.plugin.vendor import objects_in
from opsorch_plugins.jira.settings import API_PATH, Settings

log = logging.getLogger("opsorch.plugin")

PAGE_SIZE: Final = 100
# Jira may treat a dead token as nobody and answer 200; this header tells.
# Source: https://developer.atlassian.com/cloud/jira/platform/basic-auth-for-rest-apis/
_LOGIN_REASON: Final = "X-Seraph-LoginReason"
_LOGIN_FAILED: Final = ("AUTHENTICATED_FAILED", "AUTHENTICATION_DENIED")
# After 500 and 502, too, a write may have been done: its answer got lost on the way back, or
# something that listens to changes failed behind it.
_UNKNOWN_WRITES: Final = frozenset({408, 500, 502, 504})


def _words_of(reply: Reply) -> str | None:
    """Return the words of an error body, and why a rate limit declined.

    Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/ (the
    body) and https://developer.atlassian.com/cloud/jira/platform/rate-limiting/ (the header).
    """
    body = reply.json_or_none()
    words: list[str] = []
    if isinstance(body, dict):
        messages, errors = body.get("errorMessages"), body.get("errors")
        words += [str(each) for each in messages] if isinstance(messages, list) else []
        if isinstance(errors, dict):
            words += [f"{field}: {text}" for field, text in errors.items()]
        if not words and isinstance(body.get("message"), str):
            words.append(body["message"])
    if reply.status == 429 and (reason := reply.headers.get("RateLimit-Reason")):
        words.append(f"reason {reason}")
    return "; ".join(words) or None


def _classifier(redact: Redactor) -> Callable[[Reply], OpsOrchError | None]:
    """Make the judge of what the table of statuses cannot decide."""

    def told_by(reply: Reply) -> str:
        return answered("Jira", reply, _words_of(reply), redact)

    def judge(reply: Reply) -> OpsOrchError | None:
        login = (reply.headers.get(_LOGIN_REASON) or "").upper()
        if any(word in login for word in _LOGIN_FAILED):
            return AuthFailed(
                "Jira does not accept email and apiToken (login reason of its answer)"
            )
        if reply.status == 404:
            return NotFound(f"{told_by(reply)} (missing, or no permission to see it)")
        if reply.status == 409 and reply.url.endswith("/transitions"):
            return BadRequest(told_by(reply))
        return None

    return judge


def _wait_of(reply: Reply) -> float | None:
    """Read how long to wait: Retry-After, else the ISO time at which a rate limit resets."""
    told = retry_after(reply)
    reset = reply.headers.get("X-RateLimit-Reset")
    if told is not None or not reset:
        return told
    try:
        moment = datetime.datetime.fromisoformat(reset.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    # A moment that has passed by this clock: the clocks differ, so wait a little all the same.
    return max(1.0, (moment - now()).total_seconds())


def _dialect(redact: Redactor) -> Dialect:
    return Dialect(
        vendor="Jira",
        errors={410: ProviderError},
        text=_words_of,
        classify=_classifier(redact),
        wait=_wait_of,
        default_wait_s=30.0,
        unknown_writes=_UNKNOWN_WRITES,
    )


class Jira:
    """The REST API v3 of one site. Thread-safe."""

    def __init__(self, settings: Settings, redact: Redactor) -> None:
        """Prepare; nothing is sent."""
        self.upstream = Upstream(
            settings["apiURL"],
            _dialect(redact),
            auth=basic_auth(settings["email"], settings["apiToken"].reveal()),
            redact=redact,
        )

    def search(
        self, jql: str, fields: Sequence[str], limit: int, reconciled: Sequence[int], call: Call
    ) -> list[Json]:
        """Return the issues that a JQL finds, at most ``limit``, over as many pages as it takes.

        Args:
            jql: Bounded JQL.
            fields: Ids of the fields that each issue shall have.
            limit: At most so many issues.
            reconciled: Ids of issues whose latest change must count.
            call: Its deadline bounds all pages together.
        Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/#api-rest-api-3-search-jql-post
        """
        found: list[Json] = []
        tokens: set[str] = set()
        body: Json = {"jql": jql, "fields": list(fields)}
        if reconciled:
            body["reconcileIssues"] = list(reconciled)
        while True:
            body["maxResults"] = min(PAGE_SIZE, limit - len(found))
            reply = self.upstream.read("POST", f"{API_PATH}/search/jql", call, json=body)
            page = _object(reply, issues=list)
            found += [issue for issue in page["issues"] if _is_issue(issue)]
            token = page.get("nextPageToken")
            if len(found) >= limit or page.get("isLast") is True or not token:
                return found[:limit]
            if not isinstance(token, str):
                return found
            if token in tokens:
                log.warning("jira: the search repeats a page token; the list may be cut")
                return found
            tokens.add(token)
            body["nextPageToken"] = token

    def issue(self, issue_id: str, fields: Sequence[str], call: Call) -> Json:
        """Return one issue with the given fields.

        Raises:
            NotFound: There is none, or this account may not see it.
        """
        query = {"fields": ",".join(fields)}
        return _object(self.upstream.get(_path(issue_id), call, params=query), id=str, key=str)

    def create(self, fields: Json, call: Call) -> Json:
        """Create an issue; return its id and key. Sent once."""
        reply = self.upstream.write("POST", f"{API_PATH}/issue", call, json={"fields": fields})
        try:
            return _object(reply, id=str, key=str)
        except ProviderError as error:
            # Jira said 2xx: whatever the body holds, there may be a new issue.
            error.outcome_unknown = True
            raise

    def edit(self, issue_id: str, fields: Json, call: Call) -> None:
        """Change fields of an issue. Sent once."""
        self.upstream.write("PUT", _path(issue_id), call, json={"fields": fields})

    def transitions(self, issue_id: str, call: Call) -> list[Json]:
        """Return what the account may do with the status of an issue, with the screens' fields."""
        query = {"expand": "transitions.fields"}
        reply = self.upstream.get(_path(issue_id, "transitions"), call, params=query)
        return objects_in(_object(reply, transitions=list), "transitions")

    def transition(self, issue_id: str, body: Json, call: Call) -> None:
        """Change the status of an issue. Sent once."""
        self.upstream.write("POST", _path(issue_id, "transitions"), call, json=body)

    def comment(self, issue_id: str, document: Json, call: Call) -> None:
        """Add a comment to an issue. Sent once."""
        self.upstream.write("POST", _path(issue_id, "comment"), call, json={"body": document})

    def users(self, query: str, call: Call) -> list[Json]:
        """Return up to ten users whose name or email fits."""
        parameters = {"query": query, "maxResults": 10}
        return _list(self.upstream.get(f"{API_PATH}/user/search", call, params=parameters))

    def components(self, project: str, call: Call) -> list[Json]:
        """Return the components of a project."""
        return _list(self.upstream.get(f"{API_PATH}/project/{project}/components", call))

    def server_info(self, call: Call) -> Json:
        """Return what the site says of itself."""
        return _object(self.upstream.get(f"{API_PATH}/serverInfo", call))

    def myself(self, call: Call) -> Json:
        """Return the account that the token belongs to."""
        return _object(self.upstream.get(f"{API_PATH}/myself", call))

    def my_permissions(self, project: str, keys: Sequence[str], call: Call) -> Mapping[str, Any]:
        """Return which of the permissions the account has in a project."""
        query = {"projectKey": project, "permissions": ",".join(keys)}
        reply = self.upstream.get(f"{API_PATH}/mypermissions", call, params=query)
        found: Json = _object(reply, permissions=dict)["permissions"]
        return found


def _path(issue_id: str, *more: str) -> str:
    return "/".join([API_PATH, "issue", url_part(issue_id), *more])


def _is_issue(issue: Any) -> bool:
    if isinstance(issue, dict) and all(isinstance(issue.get(name), str) for name in ("id", "key")):
        return True
    log.warning("jira: an issue without id or key is left out")
    return False


def _unexpected(why: str) -> ProviderError:
    return ProviderError(f"Jira: unexpected response: {why}")


def _object(reply: Reply, **needed: type) -> Json:
    """Return the object of a body.

    Raises:
        ProviderError: It is none, or a needed field is missing or of another type.
    """
    body = decoded_object(reply, _unexpected, "no object")
    for name, kind in needed.items():
        if not isinstance(body.get(name), kind):
            raise _unexpected(f"{name} is missing")
    return body


def _list(reply: Reply) -> list[Json]:
    """Return the objects of a body that is a list.

    Raises:
        ProviderError: It is none.
    """
    return decoded_objects(reply, _unexpected, "no list")

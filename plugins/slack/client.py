"""HTTP to the Slack Web API: the token, the two ways in which Slack says no, the five methods."""

import json
from collections.abc import Mapping
from typing import Any, Final

from opsorch.errors import (
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
)
from opsorch.observability.redact import Redactor, clean_text
from opsorch.plugin import Call
from opsorch.plugin.connection import bearer_auth
from opsorch.plugin.http import Dialect, Reply, Upstream
from opsorch.plugin.payload import Json
from opsorch.plugin.vendor import as_object, text_at, text_in
from opsorch_plugins.slack.mapping import error_of_body, told

Settings = Mapping[str, Any]

POST_MESSAGE: Final = "chat.postMessage"
# Slack asks for pages of at most 200 (docs.slack.dev/reference/methods/conversations.list).
PAGE_SIZE: Final = 200
PERMALINK_BUDGET_S: Final = 5.0
# Where a rate limit names no time (docs.slack.dev/apis/web-api/rate-limits: Retry-After does).
RATE_LIMIT_WAIT_S: Final = 30.0
_SERVER_FAULTS: Final = frozenset(range(500, 600))
_TIMED_OUT: Final = frozenset({408, 504})


class SlackClient:
    """The methods of the Web API that are used here. Thread-safe."""

    def __init__(self, settings: Settings, redact: Redactor) -> None:
        self._redact = redact
        self.upstream = Upstream(
            settings["apiURL"],
            Dialect(
                vendor="Slack",
                classify=self._refusal,
                default_wait_s=RATE_LIMIT_WAIT_S,
                unknown_writes=_SERVER_FAULTS | {408},
                retried=_SERVER_FAULTS | {429},
            ),
            # Through an auth object: a plain header would lose to a netrc entry of the host.
            auth=bearer_auth(settings["token"]),
            redact=redact,
        )

    def post_message(self, message: Json, call: Call) -> Json:
        """Post a message, exactly once.

        Raises:
            OpsOrchError: Names the channel; ``outcome_unknown`` where it may have been posted.
        """
        try:
            reply = self.upstream.write(
                "POST",
                f"/{POST_MESSAGE}",
                call,
                data=json.dumps(message).encode(),
                headers={"Content-Type": "application/json; charset=utf-8"},
            )
        except OpsOrchError as error:
            shown = clean_text(self._redact(str(message.get("channel", ""))), 100)
            unsure = error.outcome_unknown and "may have" not in error.message
            warning = "; the message may have been delivered" if unsure else ""
            raise type(error)(
                f"{error.message} (channel {shown}){warning}",
                retry_after_s=error.retry_after_s,
                outcome_unknown=error.outcome_unknown,
            ) from error
        return _object(reply)

    def channels_page(self, types: str, cursor: str, call: Call) -> Json:
        """Return one page of the channels that the token sees."""
        query = {"types": types, "exclude_archived": "true", "limit": str(PAGE_SIZE)}
        if cursor:
            query["cursor"] = cursor
        return self._read("conversations.list", query, call)

    def user_of_email(self, email: str, call: Call) -> str:
        """Return the id of the user with an email address.

        Raises:
            NotFound: Slack knows nobody of this address.
        """
        try:
            body = self._read("users.lookupByEmail", {"email": email}, call)
        except NotFound as error:
            shown = clean_text(self._redact(email), 100)
            raise NotFound(f"{error.message} (email {shown})") from error
        user_id = text_at(body, "user", "id")
        if not user_id:
            raise ProviderError("Slack users.lookupByEmail: the reply names no user")
        return user_id

    def permalink(self, channel: str, ts: str, call: Call) -> str:
        """Return the link of a message.

        Takes 5 s at most: the message is out already, and its sender waits.
        """
        brief = call.within(PERMALINK_BUDGET_S)
        query = {"channel": channel, "message_ts": ts}
        link = text_in(self._read("chat.getPermalink", query, brief), "permalink")
        return link if link.startswith(("https://", "http://")) else ""

    def whoami(self, call: Call) -> tuple[Json, list[str] | None]:
        """Return whose token it is, and its scopes, or None where Slack does not tell them.

        Source: docs.slack.dev/reference/methods/auth.test; the scopes are in a header of every
        answer (docs.slack.dev/authentication/installing-with-oauth, "x-oauth-scopes").
        """
        reply = self.upstream.read("POST", "/auth.test", call)
        given = reply.headers.get("X-OAuth-Scopes")
        scopes = None if given is None else [part.strip() for part in given.split(",")]
        return _object(reply), scopes

    def _read(self, method: str, query: Mapping[str, str], call: Call) -> Json:
        return _object(self.upstream.get(f"/{method}", call, params=dict(query)))

    def _refusal(self, reply: Reply) -> OpsOrchError | None:
        """Judge a reply: Slack says no with HTTP 200 and ``ok`` false.

        The status counts for 408, 429 and 5xx alone; other statuses without a body of Slack's are
        left to the table of statuses.
        """
        method = reply.url.partition("?")[0].rpartition("/")[2]
        body = as_object(reply.json_or_none())
        posting = method == POST_MESSAGE
        if reply.status in (408, 429) or reply.status >= 500:
            return _by_status(method, reply.status, told(body.get("error"), self._redact, 100))
        if body.get("ok") is False:
            error = error_of_body(method, body, self._redact)
            error.outcome_unknown = posting and type(error) is ProviderError
            return error
        if reply.status in (404, 405, 410):
            return ProviderError(
                f"Slack answered HTTP {reply.status}: no Web API there; check apiURL"
            )
        if reply.status < 400 and body.get("ok") is not True:
            kind = clean_text(reply.headers.get("Content-Type") or "no content type", 60)
            return ProviderError(
                f"Slack {method}: unexpected response ({kind})", outcome_unknown=posting
            )
        return None


def _by_status(method: str, status: int, code: str) -> OpsOrchError:
    named = f"Slack {method} answered HTTP {status}{f' ({code})' if code else ''}"
    if status == 429:
        return RateLimited(f"{named}: too many requests")
    return UpstreamTimeout(named) if status in _TIMED_OUT else ProviderError(named)


def _object(reply: Reply) -> Json:
    """Return the body, which the dialect has found to be an object with ``ok`` true."""
    body: Json = reply.json()
    return body

"""HTTP to PagerDuty's REST API v2: credentials, errors, paging."""

import logging
import math
import re
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from opsorch import __version__
from opsorch.errors import (
    AuthFailed,
    BadRequest,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
)
from opsorch.observability.redact import Redactor
from opsorch.plugin import Call
from opsorch.plugin.http import PROXY_STATUSES, Dialect, HeaderAuth, Reply, Upstream, retry_after
from opsorch.plugin.outcome import telling
from opsorch.plugin.payload import Json
from opsorch.plugin.reply import answered, decoded_object, seconds_of
from opsorch.plugin.vendor import object_in, text_in
from opsorch_plugins.pagerduty.settings import Settings

log = logging.getLogger("opsorch.plugin")

Parameters = Sequence[tuple[str, str]]

# Source: https://developer.pagerduty.com/docs/pagination (classic pagination)
PAGE: Final = 100
MAX_OFFSET: Final = 10_000
# Source: https://developer.pagerduty.com/docs/versioning
_ACCEPT: Final = "application/vnd.pagerduty+json;version=2"
_SCHEMES: Final = {"token": "Token token=", "bearer": "Bearer "}
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_BAD_ID: Final = "must be a PagerDuty id: 1 to 32 letters and digits"
_DEFAULT_WAIT_S: Final = 30.0
# Sources: https://developer.pagerduty.com/docs/errors; the two faults of the From header as users
# met them: https://github.com/dropbox/pygerduty/pull/64 (1008) and
# https://github.com/quintoandar/airflow-pagerduty-plugin/issues/1 (2016)
# Far beyond what PagerDuty nests; whatever lies deeper must not use up the stack.
_MAX_DETAIL_DEPTH: Final = 8
_FROM_CODES: Final = frozenset({1008, 2016})


def checked_id(value: str, field: str = "id") -> str:
    """Return an id that may stand in a path or parameter.

    Raises:
        BadRequest: It is none; names the field.
    """
    if not _ID.fullmatch(value):
        raise BadRequest(f"{field} {_BAD_ID}")
    return value


def error_text(reply: Reply) -> str | None:
    """Return the words of an error body: its message, then its list or object of errors."""
    body = reply.json_or_none()
    error = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(error, str):
        return error
    if not isinstance(error, dict):
        return None
    message = error.get("message")
    words = [message] if isinstance(message, str) and message else []
    details = "; ".join(_details(error.get("errors")))
    return ": ".join([*words, details] if details else words) or None


def _details(errors: Any, depth: int = 0) -> Iterator[str]:
    """Flatten ``errors``: a text, a list of texts, or an object of either by field."""
    if depth > _MAX_DETAIL_DEPTH:
        return
    if isinstance(errors, str):
        yield errors
    elif isinstance(errors, list):
        for entry in errors:
            yield from _details(entry, depth + 1)
    elif isinstance(errors, dict):
        for field, entry in errors.items():
            told = ", ".join(_details(entry, depth + 1))
            if told:
                yield f"{field}: {told}"


def wait_of(reply: Reply) -> float | None:
    """Return the seconds until the rate limit ends.

    Source: https://support.pagerduty.com/docs/rest-api-rate-limits
    """
    seconds = seconds_of(reply.headers.get("ratelimit-reset"))
    return retry_after(reply) if seconds is None else seconds


def _names_no_user(reply: Reply) -> bool:
    """Tell whether a refusal is about the From header."""
    code = object_in(reply.json_or_none(), "error").get("code")
    return (isinstance(code, int) and code in _FROM_CODES) or "requester user not found" in (
        error_text(reply) or ""
    ).lower()


def _classify(redact: Redactor, address: str) -> Callable[[Reply], OpsOrchError | None]:
    """Make the judge of error replies; its words are clean before they are cut."""

    def told_by(reply: Reply) -> str:
        return answered("PagerDuty", reply, error_text(reply), redact)

    def judge(reply: Reply) -> OpsOrchError | None:
        if reply.status in (401, 403):
            return AuthFailed(
                f"{told_by(reply)}. Check apiToken and authScheme; writing needs a token that is"
                " not read-only, and with scoped OAuth incidents.write."
            )
        if reply.status == 402:
            return ProviderError(f"{told_by(reply)}. The PagerDuty account lacks this ability.")
        if reply.status == 429:
            wait_s = wait_of(reply)
            shown_s = _DEFAULT_WAIT_S if wait_s is None else wait_s
            return RateLimited(f"{told_by(reply)}. Try again in {math.ceil(shown_s)} s.")
        if reply.status in (408, 504):
            return UpstreamTimeout(f"{told_by(reply)}: {address} ran out of time.")
        if reply.status in (400, 422) and _names_no_user(reply):
            return BadRequest(
                f"{told_by(reply)}. Check fromEmail: it must be the login email of a user of the"
                " PagerDuty account."
            )
        return None

    return judge


class PagerDuty:
    """PagerDuty's REST API. Thread-safe; every method blocks until the call's deadline at most."""

    def __init__(self, settings: Settings, redact: Redactor) -> None:
        scheme = _SCHEMES[settings["authScheme"]]
        base_url = settings["apiURL"]
        self.upstream = Upstream(
            base_url,
            Dialect(
                vendor="PagerDuty",
                errors={410: ProviderError},
                text=error_text,
                classify=_classify(redact, urllib.parse.urlsplit(base_url).netloc),
                wait=wait_of,
                default_wait_s=_DEFAULT_WAIT_S,
                unknown_writes=PROXY_STATUSES,
                same_host_redirects=True,
            ),
            auth=HeaderAuth({"Authorization": f"{scheme}{settings['apiToken'].reveal()}"}),
            headers={"Accept": _ACCEPT, "User-Agent": f"opsorch-pagerduty/{__version__}"},
            redact=redact,
        )
        # Headers are sent as Latin-1: the detour leaves ASCII as it is, and sends UTF-8.
        from_email = str(settings.get("fromEmail") or "").encode().decode("latin-1")
        self._from = {"From": from_email}

    def get(
        self,
        kind: str,
        path: str,
        wanted: str,
        call: Call,
        *,
        params: Parameters = (),
    ) -> Json:
        """Read one object.

        Args:
            kind: Key of the object in the reply, and its name in messages.
            path: Below the base URL, ids checked.
            wanted: What was asked for, for the message that there is none.
            call: Its deadline is the budget.
            params: Query parameters.

        Raises:
            NotFound: PagerDuty has no such object.
        """
        try:
            reply = self.upstream.get(path, call, params=list(params))
        except NotFound as exc:
            raise NotFound(f"PagerDuty has no {kind} {wanted}") from exc
        return object_of_reply(reply, kind)

    def write(self, verb: str, path: str, wanted: str, body: Json, call: Call) -> Reply:
        """Send a change exactly once, in the name of fromEmail.

        Raises:
            NotFound: PagerDuty has no incident ``wanted``.
            OpsOrchError: ``outcome_unknown`` is set where the change may have been made.
        """
        try:
            reply = self.upstream.write(verb, path, call, json=body, headers=self._from)
        except NotFound as exc:
            if not wanted:
                raise
            raise NotFound(f"PagerDuty has no incident {wanted}") from exc
        except OpsOrchError as error:
            telling(error)
            raise
        if not 200 <= reply.status < 300:
            raise _unexpected(f"HTTP {reply.status}", reply)
        return reply

    def items(
        self,
        path: str,
        key: str,
        call: Call,
        *,
        params: Parameters = (),
        most: int = MAX_OFFSET,
        whole_pages: bool = True,
        owner: str = "",
    ) -> Iterator[Json]:
        """Yield the objects of a list, page after page, each id once.

        Args:
            path: Below the base URL.
            key: Key of the list in the replies.
            call: Its deadline bounds all pages.
            params: Query parameters besides limit and offset.
            most: Number of objects after which to end.
            whole_pages: Ask for PAGE objects at a time, even where fewer are still needed.
            owner: Kind and id of what has the list, for the message that there is none.

        Raises:
            NotFound: PagerDuty has no such list.
        """
        seen: set[str] = set()
        offset = 0
        while len(seen) < most:
            size = min(PAGE if whole_pages else most - len(seen), PAGE, MAX_OFFSET - offset)
            if size <= 0:
                log.warning("PagerDuty tells only the first %d %s", offset, key)
                return
            bounds = [("limit", str(size)), ("offset", str(offset))]
            received, more = self._page(path, key, [*params, *bounds], owner, call)
            for item in _with_id(received, key):
                if item["id"] not in seen and len(seen) < most:
                    seen.add(item["id"])
                    yield item
            offset += len(received)
            if not received or not more:
                return

    def _page(
        self, path: str, key: str, params: Parameters, owner: str, call: Call
    ) -> tuple[list[Any], bool]:
        """Read one page of a list, and whether there are more."""
        try:
            reply = self.upstream.get(path, call, params=list(params))
        except NotFound as exc:
            what = f"no {owner}" if owner else f"no list of {key} under apiURL"
            raise NotFound(f"PagerDuty has {what}") from exc
        body = _decoded(reply)
        received = body.get(key)
        if not isinstance(received, list):
            raise _unexpected(f"{key} is missing", reply)
        return received, body.get("more") is True


def _with_id(received: list[Any], key: str) -> Iterator[Json]:
    """Yield the objects that have an id; each other costs a line in the log, not the page."""
    for item in received:
        if isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"]:
            yield item
        else:
            log.warning("PagerDuty's %s hold an entry without id; it is left out", key)


def object_of_reply(reply: Reply, key: str) -> Json:
    """Return the object that a reply holds under a key; it has an id.

    Raises:
        ProviderError: It holds none; after a change the outcome is unknown.
    """
    found = _decoded(reply).get(key)
    if not isinstance(found, dict):
        raise _unexpected(f"{key} is missing", reply)
    if not _ID.fullmatch(text_in(found, "id")):
        raise _unexpected(f"{key} has no id", reply)
    return found


def _decoded(reply: Reply) -> Json:
    return decoded_object(reply, lambda why: _unexpected(why, reply))


def _unexpected(why: str, reply: Reply) -> ProviderError:
    text = f"PagerDuty gave an unexpected response: {why}. Check apiURL."
    return telling(ProviderError(text, outcome_unknown=reply.wrote))

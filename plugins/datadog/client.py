"""HTTP to Datadog's API: both keys, errors, rate limits, pages."""

import json
import logging
import math
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from opsorch import __version__
from opsorch.errors import (
    AuthFailed,
    Conflict,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
)
from opsorch.observability.redact import Redactor, clean_text
from opsorch.plugin import Call
from opsorch.plugin.connection import connection_of
from opsorch.plugin.http import PROXY_STATUSES, Dialect, HeaderAuth, Reply, Upstream, retry_after
from opsorch.plugin.outcome import telling
from opsorch.plugin.payload import Json
from opsorch.plugin.reply import answered, decoded_object, decoded_objects, seconds_of
from opsorch.plugin.vendor import as_objects
from opsorch_plugins.datadog.settings import Settings, api_url

log = logging.getLogger("opsorch.plugin")

Parameters = Sequence[tuple[str, str]]
Page = Callable[[int, int], list[Any]]

VENDOR: Final = "Datadog"
# What a path that the API does not have answers.
NOT_THERE: Final = frozenset({404, 405})
# With less than this left no other page is asked for, so that what there is comes in time.
LEAST_TIME_S: Final = 1.0
WAITS_S: Final = (0.5, 1.5)
_DEFAULT_WAIT_S: Final = 60.0


def error_text(reply: Reply) -> str | None:
    """Return the first text of an error body: ``errors`` holds texts, or objects with a detail.

    Source: https://docs.datadoghq.com/api/latest/, the error models APIErrorResponse and
    JSONAPIErrorResponse.
    """
    body = reply.json_or_none()
    return first_error(body.get("errors")) if isinstance(body, dict) else None


def first_error(errors: Any) -> str | None:
    """Return the first text among ``errors``, None where there is none."""
    entries = errors if isinstance(errors, list) else [errors]
    for entry in entries:
        texts = [entry]
        if isinstance(entry, dict):
            parts = (entry.get("title"), entry.get("detail"))
            texts = [": ".join(str(part) for part in parts if _is_text(part))]
        for text in texts:
            if _is_text(text):
                return str(text)
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def wait_of(reply: Reply) -> float | None:
    """Return the seconds that a reply asks to wait.

    Source: https://docs.datadoghq.com/api/latest/rate-limits/: Reset is the time until the limit
    starts anew, Period the length of its window.
    """
    if reply.status != 429:
        return retry_after(reply)
    told = (
        seconds_of(reply.headers.get("X-RateLimit-Reset")),
        retry_after(reply),
        seconds_of(reply.headers.get("X-RateLimit-Period")),
        _DEFAULT_WAIT_S,
    )
    return next(seconds for seconds in told if seconds is not None)


def _classify(
    redact: Redactor, address: str, reads: str, writes: str
) -> Callable[[Reply], OpsOrchError | None]:
    """Make the judge of error replies; its words are clean before they are cut.

    Args:
        redact: Takes the keys out of a text.
        address: Host and port in messages.
        reads: Scopes that reading needs.
        writes: Scopes that writing needs.
    """

    def told_by(reply: Reply) -> str:
        return answered(VENDOR, reply, error_text(reply), redact)

    def judge(reply: Reply) -> OpsOrchError | None:
        if reply.status in (401, 403):
            scope = writes if reply.wrote else reads
            return AuthFailed(
                f"{VENDOR} answered HTTP {reply.status}. Check apiKey and appKey, that the"
                f" application key has the scope {scope}, and that site is the organisation's own:"
                " keys of one site are refused by the others."
            )
        if reply.status == 429:
            limit = clean_text(reply.headers.get("X-RateLimit-Name") or "", 100)
            named = f" (limit {limit})" if limit else ""
            wait_s = math.ceil(wait_of(reply) or 0)
            return RateLimited(f"{told_by(reply)}{named}. Try again in {wait_s} s.")
        if reply.status in (408, 504):
            return UpstreamTimeout(f"{told_by(reply)}: {address} ran out of time.")
        return None

    return judge


class Datadog:
    """Datadog's API. Thread-safe; every method blocks until the call's deadline at most."""

    def __init__(
        self, settings: Settings, redact: Redactor, *, reads: str, writes: str = ""
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            settings: The parsed configuration.
            redact: Takes the configuration's secrets out of messages.
            reads: Scopes of the application key that reading needs, for messages.
            writes: Likewise for writing.
        """
        base_url = api_url(settings)
        keys = {
            "DD-API-KEY": settings["apiKey"].reveal(),
            "DD-APPLICATION-KEY": settings["appKey"].reveal(),
        }
        connection = connection_of(settings)
        headers = {"User-Agent": f"opsorch-datadog/{__version__}", **connection.pop("headers")}
        self.upstream = Upstream(
            base_url,
            Dialect(
                vendor=VENDOR,
                errors={409: Conflict},
                text=error_text,
                classify=_classify(
                    redact, urllib.parse.urlsplit(base_url).netloc, reads, writes or reads
                ),
                wait=wait_of,
                default_wait_s=_DEFAULT_WAIT_S,
                unknown_writes=PROXY_STATUSES,
                waits_s=WAITS_S,
                redirect_hint="A redirect would carry the keys along. Check site and apiURL.",
            ),
            auth=HeaderAuth(keys),
            headers=headers,
            redact=redact,
            **connection,
        )

    def get(self, path: str, call: Call, params: Parameters = (), *, wanted: str = "") -> Json:
        """Read a path.

        Args:
            path: Below the base URL, percent-encoded.
            call: Its deadline is the budget.
            params: Query parameters.
            wanted: What was asked for by id; "" where the path is a list, which must be there.

        Raises:
            NotFound: Datadog has no ``wanted``.
        """
        try:
            return _object(self._noted(self.upstream.get(path, call, params=list(params))))
        except NotFound as exc:
            raise _missing(path, wanted) from exc

    def get_list(self, path: str, call: Call, params: Parameters = ()) -> list[Json]:
        """Read a path whose answer is a bare list of objects."""
        try:
            reply = self._noted(self.upstream.get(path, call, params=list(params)))
        except NotFound as exc:
            raise _missing(path, "") from exc
        return decoded_objects(reply, _unexpected)

    def get_if_there(self, path: str, call: Call) -> Json | None:
        """Read a path that not every organisation's API has; None where it is not there."""
        reply = self._noted(self.upstream.get(path, call, accept=NOT_THERE))
        return None if reply.status in NOT_THERE else _object(reply)

    def search(self, path: str, body: Json, call: Call, *, lenient: bool = False) -> Json:
        """Read by POST: a search changes nothing, so that it is tried again as reads are.

        Args:
            path: Below the base URL.
            body: The JSON body.
            call: Its deadline is the budget.
            lenient: Take the tokens NaN and Infinity, which are no JSON, as numbers.
        """
        try:
            reply = self._noted(self.upstream.read("POST", path, call, json=body))
        except NotFound as exc:
            raise _missing(path, "") from exc
        return _object(reply, lenient=lenient)

    def write(self, verb: str, path: str, body: Json, call: Call, *, wanted: str = "") -> Reply:
        """Send a change exactly once.

        Raises:
            NotFound: Datadog has no ``wanted``.
            OpsOrchError: ``outcome_unknown`` is set where the change may have been made.
        """
        try:
            return self._write(verb, path, body, call)
        except NotFound as exc:
            raise _missing(path, wanted) from exc

    def _write(
        self,
        verb: str,
        path: str,
        body: Json,
        call: Call,
        accept: frozenset[int] = frozenset(),
    ) -> Reply:
        try:
            reply = self._noted(self.upstream.write(verb, path, call, json=body, accept=accept))
        except OpsOrchError as error:
            telling(error)
            raise
        if not 200 <= reply.status < 300 and reply.status not in accept:
            raise _unexpected(f"HTTP {reply.status}", reply)
        return reply

    def write_if_there(self, verb: str, path: str, body: Json, call: Call) -> bool:
        """Send a change exactly once to a path that not every organisation's API has.

        Returns whether it is there; where it is not, nothing was changed.
        """
        return self._write(verb, path, body, call, accept=NOT_THERE).status not in NOT_THERE

    def pages(self, page: Page, call: Call, *, size: int, most: int) -> Iterator[Any]:
        """Yield the entries of a list that is read page after page until a page is not full.

        Args:
            page: Reads the entries of the page of a number, from 0, and an offset.
            call: With under a second left, what has come so far is all.
            size: Entries of a full page.
            most: Number of pages after which to end.
        """
        for number in range(most):
            if number and not time_for_more(call):
                return
            entries = page(number, number * size)
            yield from entries
            if len(entries) < size:
                return
        log.warning("Datadog has more than %d entries; the rest is left out", most * size)

    def _noted(self, reply: Reply) -> Reply:
        left = reply.headers.get("X-RateLimit-Remaining")
        if left is not None:
            name = reply.headers.get("X-RateLimit-Name", "unnamed")
            log.debug("rate limit %s: %s left", clean_text(name, 100), clean_text(left, 20))
        return reply


def time_for_more(call: Call) -> bool:
    """Tell whether another page can still come within the deadline; say so where not."""
    if call.deadline.remaining() >= LEAST_TIME_S:
        return True
    log.warning("the time is over; Datadog's further pages are left out")
    return False


def data_of(body: Mapping[str, Any]) -> list[Json]:
    """Return the objects under ``data``.

    Raises:
        ProviderError: There is no list.
    """
    data = body.get("data")
    if not isinstance(data, list):
        raise _unexpected("data is no list")
    return as_objects(data)


def object_of_reply(reply: Reply) -> Json:
    """Return the object ``data`` of a reply, which has an id.

    Raises:
        ProviderError: There is none; after a change the outcome is unknown.
    """
    data = _object(reply).get("data")
    if not isinstance(data, dict) or not isinstance(data.get("id"), str):
        raise _unexpected("data has no id", reply)
    return data


def _object(reply: Reply, *, lenient: bool = False) -> Json:
    decode = _with_tokens if lenient else Reply.json
    return decoded_object(reply, lambda why: _unexpected(why, reply), decode=decode)


def _with_tokens(reply: Reply) -> Any:
    """Decode a body that may hold NaN and Infinity, which become such numbers."""
    try:
        return reply.json()
    except ProviderError:
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError):
            pass
        raise


def _missing(path: str, wanted: str) -> OpsOrchError:
    if wanted:
        return NotFound(f"{VENDOR} has no {wanted}")
    return ProviderError(f"{VENDOR} answered HTTP 404 for {path}. Check site and apiURL.")


def _unexpected(why: str, reply: Reply | None = None) -> ProviderError:
    wrote = reply is not None and reply.wrote
    text = f"{VENDOR} gave an unexpected answer: {why}. Check site and apiURL."
    return telling(ProviderError(text, outcome_unknown=wrote))

"""HTTP to GitHub: credentials, paging, rate limits, and what its errors mean."""

import logging
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, Final

from requests.utils import parse_header_links

from opsorch.errors import AuthFailed, BadRequest, OpsOrchError, ProviderError, RateLimited
from opsorch.observability.redact import Redactor, clean_text
from opsorch.plugin import Call
from opsorch.plugin.connection import bearer_auth
from opsorch.plugin.http import Dialect, Reply, Upstream, retry_after
from opsorch.plugin.payload import Json
from opsorch.plugin.reply import decoded, decoded_object
from opsorch.plugin.vendor import as_list, as_object, as_objects, text_in
from opsorch_plugins.github.settings import Settings

log = logging.getLogger("opsorch.plugin")

Parameters = Mapping[str, str]

# The version that the mappings were written for.
# See https://docs.github.com/en/rest/about-the-rest-api/api-versions
API_VERSION: Final = "2022-11-28"
# The most items that GitHub puts on a page.
# Source: https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
PAGE_SIZE: Final = 100
MAX_PAGES: Final = 20
# Source: https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api,
# "Handle rate limit errors appropriately": a minute at least where nothing is told.
DEFAULT_WAIT_S: Final = 60.0
_LIMIT_WORDS: Final = ("rate limit", "abuse")
_MOVED = "If the repository has moved, update owner and repo; otherwise check apiURL."


def _first_words(reply: Reply) -> str:
    return text_in(reply.json_or_none(), "message")


def error_words(reply: Reply) -> str | None:
    """Return the words of an error body: the message and what each of its errors says.

    Source: https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api,
    "Validation failed"
    """
    words = [_first_words(reply)]
    errors = as_list(as_object(reply.json_or_none()).get("errors"))
    words += [_error_item(item) for item in errors[:10]]
    if reply.status == 404:
        words.append("it does not exist, or the token may lack access to it")
    return "; ".join(word for word in words if word) or None


def _error_item(item: Any) -> str:
    """Write one of an error's details as ``resource.field: code or message``."""
    if not isinstance(item, dict):
        return str(item)
    place = ".".join(str(item[key]) for key in ("resource", "field") if item.get(key))
    reason = str(item.get("message") or item.get("code") or "")
    return f"{place}: {reason}" if place and reason else place or reason


def _classify(reply: Reply) -> OpsOrchError | None:
    """Tell a rate limit from a refusal: GitHub answers 403 to both.

    Source: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api,
    "Exceeding the rate limit"
    """
    if reply.status not in (401, 403, 429):
        return None
    if reply.status == 401:
        return AuthFailed("GitHub answered HTTP 401: the token is wrong, expired or revoked.")
    if reply.status == 429 or _is_limit(reply):
        which = "hourly" if reply.headers.get("X-RateLimit-Remaining") == "0" else "secondary"
        return RateLimited(
            f"GitHub answered HTTP {reply.status}: the {which} rate limit is used up."
        )
    return AuthFailed(f"GitHub answered HTTP 403: {_hint(reply)}")


def _is_limit(reply: Reply) -> bool:
    if reply.headers.get("X-RateLimit-Remaining") == "0" or reply.headers.get("Retry-After"):
        return True
    message = _first_words(reply).lower()
    return any(words in message for words in _LIMIT_WORDS)


def _hint(reply: Reply) -> str:
    """Say what a refused token lacks, from headers that hold no secret.

    Sources: https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api,
    X-GitHub-SSO; https://docs.github.com/en/rest/using-the-rest-api/
    troubleshooting-the-rest-api, X-Accepted-GitHub-Permissions;
    https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps,
    X-Accepted-OAuth-Scopes
    """
    if reply.headers.get("X-GitHub-SSO"):
        return "authorize the token for the organization's single sign-on (SSO)."
    scopes = clean_text(reply.headers.get("X-Accepted-OAuth-Scopes") or "", 100)
    permissions = clean_text(reply.headers.get("X-Accepted-GitHub-Permissions") or "", 100)
    if permissions:
        return f"the token needs one of these permissions: {permissions}."
    if scopes:
        return f"the token needs one of these scopes: {scopes}."
    return "the token lacks a permission or scope for this."


def _wait(reply: Reply) -> float | None:
    """Return the seconds to wait: as told, else until the limit is reset, else a minute."""
    told = retry_after(reply)
    if told is not None or reply.status not in (403, 429):
        return told
    if reply.headers.get("X-RateLimit-Remaining") == "0":
        reset = reply.headers.get("X-RateLimit-Reset") or ""
        if reset.isascii() and reset.isdigit():
            return max(1.0, int(reset[:12]) - time.time())
    return DEFAULT_WAIT_S


DIALECT: Final = Dialect(
    vendor="GitHub",
    errors={409: BadRequest},
    text=error_words,
    classify=_classify,
    wait=_wait,
    default_wait_s=DEFAULT_WAIT_S,
    # Its front ends answer 502 and 500 also to requests that went through.
    unknown_writes=frozenset({408, 500, 502, 503, 504}),
    same_host_redirects=True,
    redirect_hint=_MOVED,
    # Each asks for the request to be repeated elsewhere.
    # Source: https://docs.github.com/en/rest/using-the-rest-api/
    # best-practices-for-using-the-rest-api, "Follow redirects"
    undone_redirects=frozenset({301, 302, 307, 308}),
)


def unexpected(what: str) -> ProviderError:
    """Make the error of a 2xx answer that has another shape."""
    return ProviderError(f"unexpected response from GitHub: {what}")


class GitHub:
    """GitHub's REST API with the configured token. Thread-safe; calls are serial by design."""

    def __init__(self, settings: Settings, redact: Redactor) -> None:
        self.upstream = Upstream(
            settings["apiURL"],
            DIALECT,
            auth=bearer_auth(settings["token"]),
            headers={
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": API_VERSION,
            },
            redact=redact,
        )

    def get(self, path: str, call: Call) -> Json:
        """Read one object."""
        return _object(self.upstream.get(path, call))

    def get_or_none(self, path: str, call: Call) -> Json | None:
        """Read one object; None where GitHub says that there is none."""
        reply = self.upstream.get(path, call, accept={404})
        return None if reply.status == 404 else _object(reply)

    def probe(self, path: str, call: Call) -> Reply:
        """Read the smallest page of a list, for its headers."""
        return self.upstream.get(path, call, params={"per_page": "1"})

    def items(
        self,
        path: str,
        parameters: Parameters,
        call: Call,
        *,
        under: str = "",
        page_size: int = PAGE_SIZE,
        max_pages: int = MAX_PAGES,
    ) -> Iterator[Json]:
        """Yield the items of a list, page after page, as far as they are taken.

        Args:
            path: Path of the list.
            parameters: Sent with the first page; later ones come as GitHub's own links.
            call: Its deadline covers all pages.
            under: Key of the list where the answer is an object.
            page_size: Items a page, 100 at most.
            max_pages: Where to stop, with a line in the log.

        Raises:
            ProviderError: A page has another shape.
        """
        given: Parameters = {**parameters, "per_page": str(page_size)}
        reply = self.upstream.get(path, call, params=dict(given))
        for read in range(1, max_pages + 1):
            yield from _listed(reply, under)
            following = self._next(reply)
            if not following:
                return
            if read == max_pages:
                log.warning("GitHub has more than %d pages of %s; the rest is left out", read, path)
                return
            reply = self.upstream.get(following, call)

    def write(self, verb: str, path: str, body: Json, call: Call, *, gone: str) -> Json:
        """Send a change, exactly once, and return the object that GitHub made of it.

        Args:
            verb: POST or PATCH.
            path: Path of the list or the object.
            body: Sent as JSON.
            call: Its deadline is the budget.
            gone: What HTTP 410 means here.

        Raises:
            OpsOrchError: ``outcome_unknown`` is set where the change may have been made.
        """
        reply = self.upstream.write(verb, path, call, json=body, accept={410})
        if reply.status == 410:
            raise BadRequest(gone)
        if reply.status >= 300:
            raise ProviderError(f"GitHub answered HTTP {reply.status} to a write. {_MOVED}")
        try:
            return _object(reply)
        except ProviderError as failed:
            failed.outcome_unknown = True
            raise

    def _next(self, reply: Reply) -> str:
        """Return the address of the next page, "" where there is none that may be asked.

        Source: https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api,
        "Using link headers"
        """
        for link in parse_header_links(reply.headers.get("Link") or ""):
            if link.get("rel") != "next":
                continue
            try:
                target = urllib.parse.urljoin(reply.url, link["url"])
                own = self.upstream.is_own(target)
            except ValueError as exc:
                raise unexpected("the link to its next page is broken") from exc
            if own:
                return target
            log.warning("GitHub's next page is on another host; it is not asked for")
        return ""


def _object(reply: Reply) -> Json:
    return decoded_object(reply, unexpected, "an object was due")


def _listed(reply: Reply, under: str) -> list[Json]:
    """Return the list in an answer; what is no object in it is left out."""
    body = decoded(reply, unexpected)
    if under and isinstance(body, dict):
        if body.get("incomplete_results") is True:
            log.warning("GitHub's search ran out of time; its results are incomplete")
        body = body.get(under)
    if not isinstance(body, list):
        raise unexpected(f"{under or 'a list'} was due")
    return as_objects(body)

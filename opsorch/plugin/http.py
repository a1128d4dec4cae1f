"""HTTP to an upstream: one session a thread, one budget a call, one map of status to error.

Reads (whatever their verb) are retried within the call's deadline; writes are sent exactly once.
urllib3's own retries stay off: they know no budget, and requests-mock replaces them.
"""

import random
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import requests
import requests.auth
import urllib3.exceptions

from opsorch import __version__
from opsorch.deadline import Deadline
from opsorch.errors import (
    AuthFailed,
    BadRequest,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from opsorch.observability.redact import Redactor, clean_text
from opsorch.plugin.losses import kind_of_loss
from opsorch.plugin.outcome import telling
from opsorch.plugin.provider import Call
from opsorch.plugin.reply import Reply, answered, retry_after
from opsorch.plugin.transport import BoundedAdapter, exchange

__all__ = [
    "ERROR_OF_STATUS",
    "NO_AUTH",
    "PROXY_STATUSES",
    "RETRIED_STATUSES",
    "Dialect",
    "HeaderAuth",
    "Reply",
    "Upstream",
    "retry_after",
]

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
MAX_REDIRECTS: Final = 5
CONNECT_TIMEOUT_S: Final = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK = 64 * 1024

ErrorType = type[OpsOrchError]

# What an upstream's status means unless the adapter's table says otherwise.
ERROR_OF_STATUS: Mapping[int, ErrorType] = {
    400: BadRequest,
    401: AuthFailed,
    403: AuthFailed,
    404: NotFound,
    408: UpstreamTimeout,
    410: NotFound,
    422: BadRequest,
    429: RateLimited,
    504: UpstreamTimeout,
}
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
# After these a proxy, not the API, may have answered a write that was carried out.
PROXY_STATUSES = frozenset({408, 502, 503, 504})


class HeaderAuth(requests.auth.AuthBase):
    """Sets credential headers. A plain header would lose to a matching netrc entry."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


NO_AUTH: Final = HeaderAuth({})


@dataclass(frozen=True)
class Dialect:
    """How one vendor speaks of failure.

    Attributes:
        vendor: The name in messages, for example ``Jira``.
        errors: Statuses whose meaning differs from ERROR_OF_STATUS.
        text: The vendor's own words in an error body, or None. Redacted and cut here.
        classify: Decides on the error of a reply before the tables do; None leaves it to them.
            Also sees replies below 400, for vendors that answer 200 with an error inside.
        wait: The seconds that a reply asks to wait, or None.
        default_wait_s: ``retryAfter`` of a rate limit that names no time.
        unknown_writes: Statuses after which a write may have taken effect all the same.
        retried: Statuses after which a read is tried again.
        waits_s: Pauses before the second and third try where the reply names none.
        same_host_redirects: Reads follow redirects to the same scheme, host and port.
        redirect_hint: What to do about a redirect that is not followed.
        undone_redirects: Redirects that say that a write was not carried out. The others are how
            many a server answers one that it did carry out.
    """

    vendor: str
    errors: Mapping[int, ErrorType] = field(default_factory=dict)
    text: Callable[[Reply], str | None] = lambda reply: None
    classify: Callable[[Reply], OpsOrchError | None] = lambda reply: None
    wait: Callable[[Reply], float | None] = retry_after
    default_wait_s: float = 1.0
    unknown_writes: frozenset[int] = frozenset({408, 504})
    retried: frozenset[int] = RETRIED_STATUSES
    waits_s: tuple[float, ...] = (0.5, 1.0)
    same_host_redirects: bool = False
    redirect_hint: str = "Check the configured URL."
    undone_redirects: frozenset[int] = frozenset({307, 308})


class Upstream:
    """One vendor's API under one base URL.

    Thread-safe: each thread has its own session. Every method blocks until the call's deadline at
    most and raises the errors of the tables above; ``redact`` cleans every message.
    """

    def __init__(
        self,
        base_url: str,
        dialect: Dialect,
        *,
        auth: requests.auth.AuthBase = NO_AUTH,
        headers: Mapping[str, str] | None = None,
        verify: bool | str | None = None,
        cert: tuple[str, str] | None = None,
        redact: Redactor | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            base_url: Absolute URL without userinfo; paths are appended to it.
            dialect: How the vendor speaks of failure.
            auth: Sets the credentials of each request.
            headers: Sent with each request.
            verify: False, or a CA file; None takes the system's or REQUESTS_CA_BUNDLE.
            cert: Client certificate and key, PEM files.
            redact: Takes the configuration's secrets out of messages.
            sleep: Waits between tries; tests pass their own.
            jitter: Returns 0..1; a pause is stretched by up to a quarter of itself.
        """
        self.base_url = base_url.rstrip("/")
        self.dialect = dialect
        self.redact = redact or Redactor()
        self._auth = auth
        self._headers = {
            "User-Agent": f"opsorch-python/{__version__}",
            "Accept": "application/json",
            **(headers or {}),
        }
        self._verify = verify
        self._cert = cert
        self._sleep = sleep
        self._jitter = jitter
        self._local = threading.local()
        parts = urllib.parse.urlsplit(self.base_url)
        self._host = parts.hostname or ""
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.address = f"{self._host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

    def get(self, path: str, call: Call, **options: Any) -> Reply:
        """Read with GET; see read()."""
        return self.read("GET", path, call, **options)

    def read(self, verb: str, path: str, call: Call, **options: Any) -> Reply:
        """Send a request that changes nothing; try again at most twice, within the deadline.

        Args:
            verb: HTTP verb; a search by POST is a read too.
            path: Appended to the base URL, percent-encoded; or an absolute URL of its origin.
            call: Its deadline is the budget.
            options: ``params``, ``json``, ``data``, ``headers`` as in requests; ``accept``: a
                collection of statuses of 400 and more that are returned, not raised.
        """
        waits = iter(self.dialect.waits_s)
        while True:
            try:
                return self._once(verb, path, call.deadline, write=False, **options)
            except _TryAgain as failed:
                pause = next(waits, None)
                if pause is None:
                    raise failed.error from failed.__cause__
                hint = failed.wait_s
                pause = hint if hint is not None else pause * (1 + self._jitter() / 4)
                if pause >= call.deadline.remaining():
                    raise failed.error from failed.__cause__
                self._sleep(pause)

    def write(self, verb: str, path: str, call: Call, **options: Any) -> Reply:
        """Send a request that changes something, exactly once, following no redirect.

        Raises:
            OpsOrchError: ``outcome_unknown`` is set where the request may have left.
        """
        try:
            return self._once(verb, path, call.deadline, write=True, **options)
        except _TryAgain as failed:
            raise failed.error from failed.__cause__

    def is_own(self, url: str) -> bool:
        """Tell whether a URL has this upstream's scheme, host and port.

        Raises:
            ValueError: It is no URL.
        """
        return _origin_of(url) == _origin_of(self.origin)

    def _once(
        self,
        verb: str,
        path: str,
        deadline: Deadline,
        *,
        write: bool,
        accept: frozenset[int] | set[int] = frozenset(),
        **options: Any,
    ) -> Reply:
        url = path if path.startswith(("http://", "https://")) else self.base_url + path
        if not self.is_own(url):
            raise ProviderError(f"{self.dialect.vendor} pointed to another host; not followed.")
        for _ in range(MAX_REDIRECTS + 1):
            reply = self._exchange(verb, url, deadline, write=write, **options)
            target = reply.headers.get("Location")
            if reply.status not in _REDIRECTS or not target:
                return self._judged(reply, write=write, accept=accept)
            url = self._redirected(reply, target)
            options.pop("params", None)
        raise ProviderError(f"{self.dialect.vendor} redirects without end.")

    def _redirected(self, reply: Reply, target: str) -> str:
        """Return where a redirect may lead.

        Raises:
            ProviderError: It leads to another host, or the request is a write.
        """
        target = urllib.parse.urljoin(reply.url, target)
        parts = urllib.parse.urlsplit(target)
        if reply.wrote or not self.is_own(target) or not self.dialect.same_host_redirects:
            host = clean_text(parts.hostname or "nowhere", 100)
            text = (
                f"{self.dialect.vendor} at {self.address} redirects to {host}; not followed."
                f" {self.dialect.redirect_hint}"
            )
            unknown = reply.wrote and reply.status not in self.dialect.undone_redirects
            raise telling(ProviderError(text, outcome_unknown=unknown))
        return target

    def _judged(self, reply: Reply, *, write: bool, accept: frozenset[int] | set[int]) -> Reply:
        error = self.dialect.classify(reply)
        if error is None:
            if reply.status < 400 or reply.status in accept:
                return reply
            error = self._error_of(reply)
        error.message = self.redact(error.message)
        # Where the reply names no time, waits_s rule the next try, not what callers are told.
        hint_s = self._wait_of(reply, error.retry_after_s)
        if error.code == "rate_limited" and error.retry_after_s is None:
            error.retry_after_s = self.dialect.default_wait_s if hint_s is None else hint_s
        if write:
            error.outcome_unknown |= reply.status in self.dialect.unknown_writes
            raise error
        if reply.status in self.dialect.retried or error.code == "rate_limited":
            raise _TryAgain(error, hint_s)
        raise error

    def _wait_of(self, reply: Reply, default: float | None) -> float | None:
        told = self.dialect.wait(reply)
        return default if told is None else told

    def _error_of(self, reply: Reply) -> OpsOrchError:
        """Make the error of a status, with the vendor's own words where there are some."""
        table = {**ERROR_OF_STATUS, **self.dialect.errors}
        error_type = table.get(reply.status, ProviderError)
        # Whatever a refusal's body says, it may repeat the credential.
        words = None if error_type is AuthFailed else self.dialect.text(reply)
        return error_type(answered(self.dialect.vendor, reply, words, self.redact))

    def _exchange(
        self, verb: str, url: str, deadline: Deadline, *, write: bool, **options: Any
    ) -> Reply:
        remaining_s = deadline.remaining()
        if remaining_s <= 0:
            raise self._timed_out(deadline, unknown=False)
        # A host of two addresses of which none answers must still be given up in time.
        timeout = (min(CONNECT_TIMEOUT_S, remaining_s / 2), remaining_s)
        with exchange(deadline) as current:
            try:
                with self._session().request(
                    verb, url, timeout=timeout, stream=True, allow_redirects=False, **options
                ) as response:
                    body = self._body(response, deadline, write=write)
                    return Reply(response.status_code, response.headers, body, url, write)
            except _LOST as exc:
                raise self._lost(exc, deadline, left=current.left, write=write) from exc
            except (ValueError, RecursionError) as exc:
                raise self._unfit() from exc

    def _lost(
        self, exc: Exception, deadline: Deadline, *, left: bool | None, write: bool
    ) -> "OpsOrchError | _TryAgain":
        """Judge a failed exchange; ``left`` is what the connection knows, None where it cannot."""
        if isinstance(exc, _UNFIT):
            return self._unfit()
        kind, left_by_kind = kind_of_loss(exc)
        left = left_by_kind if left is None else left
        if kind == "timeout" and left:
            return _TryAgain(self._timed_out(deadline, unknown=write))
        kind = "connect timeout" if kind == "timeout" else kind
        return _TryAgain(self._unreachable(kind, unknown=write and left))

    def _unfit(self) -> OpsOrchError:
        return ProviderError(
            f"The request to {self.dialect.vendor} at {self.address} cannot be sent: it is no"
            " HTTP or JSON. Check the configured URL, credentials and headers, or the payload."
        )

    def _body(self, response: requests.Response, deadline: Deadline, *, write: bool) -> bytes:
        """Read the body against the deadline: a drip of bytes never restarts the clock."""
        chunks: list[bytes] = []
        size = 0
        while True:
            if deadline.expired:
                raise _TryAgain(self._timed_out(deadline, unknown=write))
            chunk = response.raw.read1(_CHUNK, decode_content=True)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                limit = MAX_BODY_BYTES // 1024 // 1024
                raise ProviderError(
                    f"{self.dialect.vendor}'s answer is over {limit} MiB.", outcome_unknown=write
                )

    def _session(self) -> requests.Session:
        session = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            for scheme in ("http://", "https://"):
                session.mount(scheme, BoundedAdapter())
            session.auth = self._auth
            session.headers.update(self._headers)
            if self._verify is not None:
                session.verify = self._verify
            session.cert = self._cert
            # An environment's CA bundle would override verify=False and a configured CA file.
            session.trust_env = self._verify is None
            if self._verify is not None:
                # Without NO_PROXY's hosts, as requests itself would have it.
                proxies = requests.utils.get_environ_proxies(self.base_url, no_proxy=None)
                session.proxies.update(proxies)
            self._local.session = session
        return session

    def _unreachable(self, kind: str, *, unknown: bool) -> OpsOrchError:
        text = f"{self.dialect.vendor} at {self.address} is unreachable: {kind}."
        return telling(UpstreamUnreachable(text, outcome_unknown=unknown))

    def _timed_out(self, deadline: Deadline, *, unknown: bool) -> OpsOrchError:
        text = (
            f"{self.dialect.vendor} at {self.address} did not answer within"
            f" {deadline.timeout_s:g} s."
        )
        return telling(UpstreamTimeout(text, outcome_unknown=unknown))


class _TryAgain(Exception):
    """A read may run once more; carries the error for when it may not."""

    def __init__(self, error: OpsOrchError, wait_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait_s = wait_s


_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
_UNFIT: Final = (requests.exceptions.InvalidHeader, requests.exceptions.InvalidJSONError)
_LOST: Final = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)


def _origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL in the form that is the same for the same server."""
    parts = urllib.parse.urlsplit(url)
    if "@" in parts.netloc:
        return ("", "", None)
    try:
        port = parts.port
    except ValueError:
        return ("", "", None)
    return (parts.scheme, parts.hostname or "", port or _PORTS.get(parts.scheme))

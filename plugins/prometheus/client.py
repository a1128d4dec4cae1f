"""HTTP to Prometheus and Alertmanager: credentials, the envelope, errors, members of a cluster."""

import logging
import threading
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import requests
import requests.auth

from opsorch.errors import (
    AuthFailed,
    BadRequest,
    InvalidConfig,
    OpsOrchError,
    ProviderError,
    UpstreamTimeout,
)
from opsorch.observability.redact import MASK, Redactor, clean_text
from opsorch.plugin import Call
from opsorch.plugin.connection import (
    bearer_auth,
    connection_of,
    user_auth,
    without_userinfo,
)
from opsorch.plugin.http import Dialect, Reply, Upstream
from opsorch.plugin.vendor import as_list, as_object
from opsorch_plugins.prometheus.settings import Settings

log = logging.getLogger("opsorch.plugin")

Parameters = Sequence[tuple[str, str]]

MAX_URL: Final = 4000
WAITS_S: Final = (0.2, 0.8)
# A server, proxy or older version without the path, or without POST for it.
_MISSING: Final = frozenset({404, 405, 501})
_POST_REFUSED: Final = frozenset({405, 501})
# Prometheus' own statuses for a query that it gave up: 503, since 2.44 also 499.
_GIVEN_UP: Final = frozenset({499, 503})
_GIVEN_UP_TYPES: Final = frozenset({"timeout", "canceled"})

# What errorType means where the status is 200 (proxies that answer so).
# Source: prometheus.io, "HTTP API", format overview; the types are those of Prometheus' web API.
ERROR_OF_TYPE: Final[Mapping[str, type[OpsOrchError]]] = {
    "bad_data": BadRequest,
    "execution": BadRequest,
    "timeout": UpstreamTimeout,
    "canceled": UpstreamTimeout,
}


class TokenFileAuth(requests.auth.AuthBase):
    """Sends the bearer token of a file, read for each request: such tokens are rotated."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.last = ""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        return request

    def _token(self) -> str:
        """Read the token.

        Raises:
            InvalidConfig: The file cannot be read, or holds no token.
        """
        try:
            with open(self._path, encoding="utf-8") as file:
                token = file.read().strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise InvalidConfig("prometheus config: field bearerTokenFile cannot be read") from exc
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise InvalidConfig("prometheus config: field bearerTokenFile holds no token")
        self.last = token
        return token


class _TokenFileRedactor(Redactor):
    """Takes out the token that was read last, beside what the configuration holds."""

    def __init__(self, inner: Redactor, auth: TokenFileAuth) -> None:
        super().__init__()
        self._inner = inner
        self._auth = auth

    def __call__(self, text: str) -> str:
        cleaned = self._inner(text)
        return cleaned.replace(self._auth.last, MASK) if self._auth.last else cleaned


def error_text(reply: Reply) -> str | None:
    """Return the words of an error body: a JSON string, or an object's error or message."""
    body = reply.json_or_none()
    if isinstance(body, dict):
        body = body.get("error") or body.get("message")
    return body if isinstance(body, str) and body else None


def _classify(vendor: str) -> Callable[[Reply], OpsOrchError | None]:
    """Make the judge of error replies; what it raises, rather than returns, is not tried again."""

    def judge(reply: Reply) -> OpsOrchError | None:
        if reply.status < 400:
            return None
        if reply.status in (401, 403) and "no org id" in reply.text[:1000].lower():
            return AuthFailed(f"{vendor} answered HTTP {reply.status}: no org id; set tenant")
        if reply.status in _GIVEN_UP and _error_type(reply) in _GIVEN_UP_TYPES:
            raise UpstreamTimeout(f"{vendor}: query timed out (HTTP {reply.status})")
        if reply.status == 504:
            return UpstreamTimeout(f"{vendor}: query timed out (HTTP 504)")
        if reply.status == 400 and error_text(reply) is None:
            kind = clean_text(reply.headers.get("Content-Type") or "no content type", 60)
            return ProviderError(f"{vendor} answered HTTP 400 with no error of its own ({kind})")
        return None

    return judge


def _error_type(reply: Reply) -> str:
    return str(as_object(reply.json_or_none()).get("errorType"))


def _dialect(vendor: str) -> Dialect:
    return Dialect(
        vendor=vendor,
        errors={410: ProviderError},
        text=error_text,
        classify=_classify(vendor),
        waits_s=WAITS_S,
    )


def _upstream(address: str, vendor: str, settings: Settings, redact: Redactor) -> Upstream:
    """Prepare the HTTP of one server with the configured credentials, headers and TLS."""
    base_url, userinfo = without_userinfo(address)
    auth = _auth(settings, userinfo)
    if isinstance(auth, TokenFileAuth):
        redact = _TokenFileRedactor(redact, auth)
    connection = connection_of(settings)
    if settings["tenant"]:
        connection["headers"]["X-Scope-OrgID"] = settings["tenant"]
    return Upstream(base_url, _dialect(vendor), auth=auth, redact=redact, **connection)


def _auth(settings: Settings, userinfo: tuple[str, str] | None) -> requests.auth.AuthBase:
    """Choose the credentials; configured ones win over those in the URL."""
    if settings["bearerToken"]:
        return bearer_auth(settings["bearerToken"])
    if settings["bearerTokenFile"]:
        return TokenFileAuth(settings["bearerTokenFile"])
    return user_auth(settings, userinfo)


def _found(reply: Reply, upstream: Upstream, field: str) -> Reply:
    """Return the reply unless the server has no such path.

    Raises:
        ProviderError: It has not; the path prefix is the usual cause.
    """
    if reply.status not in _MISSING:
        return reply
    vendor = upstream.dialect.vendor
    raise ProviderError(
        f"{vendor} at {upstream.address} answered HTTP {reply.status}:"
        f" no {vendor} API under {field}: check the path prefix"
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the envelope of Prometheus' API held."""

    data: Any
    warnings: list[str]
    infos: list[str]


class Prometheus:
    """Prometheus' API, or that of what speaks like it. Thread-safe."""

    def __init__(self, settings: Settings, redact: Redactor) -> None:
        self.upstream = _upstream(settings["url"], "Prometheus", settings, redact)
        self._posts = settings["httpMethod"] == "POST"

    def get(self, path: str, parameters: Parameters, call: Call) -> Answer:
        """Read a path that knows no POST."""
        reply = self.upstream.get(path, call, params=list(parameters), accept=_MISSING)
        return self._opened(_found(reply, self.upstream, "url"))

    def query(self, path: str, parameters: Parameters, call: Call) -> Answer:
        """Read a path that knows POST too: it is taken where configured, and for what is long."""
        given = list(parameters)
        target = f"{self.upstream.base_url}{path}?{urllib.parse.urlencode(given)}"
        if self._posts or len(target) > MAX_URL:
            reply = self.upstream.read("POST", path, call, data=given, accept=_MISSING)
            if reply.status not in _POST_REFUSED:
                return self._opened(_found(reply, self.upstream, "url"))
        return self.get(path, given, call)

    def _opened(self, reply: Reply) -> Answer:
        """Take the data out of the envelope.

        Raises:
            OpsOrchError: It says "error", or is no envelope.
        """
        body = reply.json()
        status = as_object(body).get("status")
        if status == "error":
            words = clean_text(self.upstream.redact(str(body.get("error") or "no reason given")))
            error_type = ERROR_OF_TYPE.get(str(body.get("errorType")), ProviderError)
            raise error_type(f"Prometheus answered: {words}")
        if status != "success":
            raise ProviderError(
                f"the answer of {self.upstream.address} is not that of a Prometheus API"
            )
        return Answer(body.get("data"), _strings(body, "warnings"), _strings(body, "infos"))


def _strings(body: Mapping[str, Any], name: str) -> list[str]:
    return [str(value) for value in as_list(body.get(name))]


class Alertmanager:
    """The API of one Alertmanager, or of a cluster whose members answer for one another.

    Thread-safe.
    """

    def __init__(self, settings: Settings, redact: Redactor) -> None:
        addresses = settings["alertmanagerURL"]
        self.members = [_upstream(a, "Alertmanager", settings, redact) for a in addresses]
        self._lock = threading.Lock()
        self._answering = 0

    def get(self, path: str, parameters: Parameters, call: Call) -> Any:
        """Return the decoded body, of the first member that answers.

        The member that answered last is asked first. Each gets an equal share of the time left.

        Raises:
            OpsOrchError: Of the last member; of any, where another would say the same.
        """
        with self._lock:
            first = self._answering
        count = len(self.members)
        for tried in range(count):
            index = (first + tried) % count
            try:
                body = self.get_from(
                    index, path, parameters, call.within_share(1 / (count - tried))
                )
            except ProviderError as failed:
                if tried == count - 1 or isinstance(failed, AuthFailed | InvalidConfig):
                    raise
                log.warning("trying the next Alertmanager: %s", failed.message)
                continue
            with self._lock:
                self._answering = index
            return body
        raise ProviderError("alertmanagerURL names no server")

    def get_from(self, index: int, path: str, parameters: Parameters, call: Call) -> Any:
        """Return the decoded body, of one member."""
        member = self.members[index]
        reply = member.get(path, call, params=list(parameters), accept=_MISSING)
        return _found(reply, member, "alertmanagerURL").json()

"""HTTP to a cluster: credentials, which node is asked, repeated tries, whose API it is."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import requests.auth

from opsorch.deadline import Clock
from opsorch.errors import (
    AuthFailed,
    NotFound,
    OpsOrchError,
    ProviderError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from opsorch.observability.redact import Redactor, clean_text
from opsorch.plugin import Call
from opsorch.plugin.connection import (
    bearer_auth,
    connection_of,
    user_auth,
    without_userinfo,
)
from opsorch.plugin.http import HeaderAuth, Reply, Upstream
from opsorch.plugin.vendor import as_object
from opsorch_plugins.elasticsearch.errors import (
    REFUSALS,
    Limited,
    NodeFailed,
    NodeTimedOut,
    cause_of,
    dialect_of,
)
from opsorch_plugins.elasticsearch.mapping import Page
from opsorch_plugins.elasticsearch.settings import Settings, addresses_of

log = logging.getLogger("opsorch.plugin")

MAX_TRIES: Final = 3
WAITS_S: Final = (0.2, 0.8)
# How long a node that failed is asked only where no other is left.
SKIPPED_S: Final = 30.0
_TRY_ANOTHER: Final = (UpstreamUnreachable, NodeFailed, NodeTimedOut)
_MAX_REQUEST_ID: Final = 200

_page = msgspec.json.Decoder(Page)


class Cluster:
    """The nodes of one cluster, or the proxies before it. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        redact: Redactor,
        *,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        clock: Clock = time.monotonic,
    ) -> None:
        self.nodes = [_node(address, settings, redact) for address in addresses_of(settings)]
        self.redact = redact
        self._flavor: str = settings["flavor"]
        self._flavors: dict[int, str] = {}
        self._good = 0
        self._skipped: dict[int, float] = {}
        self._lock = threading.Lock()
        self._sleep, self._jitter, self._clock = sleep, jitter, clock

    # --- requests --------------------------------------------------------------------------

    def search(self, path: str, body: Any, call: Call) -> Page:
        """Run one search, with up to three tries.

        Raises:
            OpsOrchError: By the tables of ``errors``; no shard had an answer; or it is no answer
                of a search at all.
        """
        return self.judged(page_of(self.send("POST", path, call, json=body)))

    def judged(self, page: Page) -> Page:
        """Return a page unless it is empty because of failures.

        Raises:
            ProviderError: No shard had an answer.
            UpstreamTimeout: The search ran out of time before it found anything.
        """
        if page.hits.hits:
            return page
        if page.shards.failed:
            raise ProviderError(f"Elasticsearch: shards failed: {_failure(page, self.redact)}")
        if page.timed_out:
            raise UpstreamTimeout("Elasticsearch: search timed out")
        return page

    def send(
        self, verb: str, path: str, call: Call, *, tries: int = MAX_TRIES, **options: Any
    ) -> Reply:
        """Send a request that changes nothing; ask other nodes, then the same ones again."""
        tried: list[int] = []
        lost: list[str] = []
        while True:
            index = self._next_node(tried)
            tried.append(index)
            try:
                reply = self._once(index, verb, path, call, **options)
            except (*_TRY_ANOTHER, Limited) as failed:
                if isinstance(failed, UpstreamUnreachable):
                    lost.append(self.nodes[index].address)
                pause = self._pause(failed, tried, tries)
                if pause is None or pause >= call.deadline.remaining():
                    raise _with_hosts(failed, lost, tried) from failed.__cause__
                if pause:
                    self._sleep(pause)
            else:
                return reply

    def send_once_more(self, verb: str, path: str, call: Call, **options: Any) -> Reply:
        """Send a request; once more only where no connection was to be had."""
        index = self._next_node([])
        try:
            return self._once(index, verb, path, call, **options)
        except UpstreamUnreachable as failed:
            if call.deadline.expired:
                raise
            log.warning("sent once more: %s", failed.message)
            return self._once(self._next_node([index]), verb, path, call, **options)

    def _once(
        self,
        index: int,
        verb: str,
        path: str,
        call: Call,
        accept: frozenset[int] = frozenset(),
        **options: Any,
    ) -> Reply:
        options["headers"] = _headers(call)
        try:
            reply = self.nodes[index].read(
                verb, path, call, accept=accept | REFUSALS.keys(), **options
            )
        except _TRY_ANOTHER as failed:
            with self._lock:
                self._skipped[index] = self._clock() + SKIPPED_S
            log.warning("a node of Elasticsearch is skipped for a while: %s", failed.message)
            raise
        with self._lock:
            self._good = index
            self._skipped.pop(index, None)
        if reply.status in REFUSALS and reply.status not in accept:
            raise REFUSALS[reply.status](reply)
        return reply

    def _pause(self, failed: OpsOrchError, tried: list[int], tries: int) -> float | None:
        """Return the seconds until the next try; None where there is none."""
        if len(tried) >= tries:
            return None
        limited = isinstance(failed, Limited)
        if not limited and len(set(tried)) < len(self.nodes):
            return 0.0
        told_s = failed.told_s if isinstance(failed, Limited) else None
        default_s = WAITS_S[min(len(tried), len(WAITS_S)) - 1] * (1 + self._jitter() / 4)
        return default_s if told_s is None else told_s

    def _next_node(self, tried: list[int]) -> int:
        """Choose the node of the next try: the last good one, then others, skipped ones last."""
        with self._lock:
            now = self._clock()
            ranked = sorted(
                range(len(self.nodes)),
                key=lambda index: (
                    tried.count(index),
                    self._skipped.get(index, now) > now,
                    (index - self._good) % len(self.nodes),
                ),
            )
        return ranked[0]

    # --- whose API it is -------------------------------------------------------------------

    def is_opensearch(self, call: Call) -> bool:
        """Tell whether it is OpenSearch; asks once a node, and only where it is not configured."""
        if self._flavor != "auto":
            return self._flavor == "opensearch"
        with self._lock:
            index = self._good
            known = self._flavors.get(index)
        if known is None:
            known = self._asked_flavor(call)
            with self._lock:
                self._flavors[self._good] = known
        return known == "opensearch"

    @property
    def known_opensearch(self) -> bool:
        """Tell whether it is known already to be OpenSearch."""
        with self._lock:
            return "opensearch" in (self._flavor, *self._flavors.values())

    def _asked_flavor(self, call: Call) -> str:
        try:
            banner = self.banner(call)
        except (AuthFailed, NotFound, ProviderError) as refused:
            if isinstance(refused, UpstreamUnreachable | UpstreamTimeout | NodeFailed):
                raise
            # Who may search need not see the banner.
            return "elasticsearch"
        return "opensearch" if banner.get("distribution") == "opensearch" else "elasticsearch"

    def banner(self, call: Call) -> dict[str, Any]:
        """Return the object ``version`` of the server's banner.

        Raises:
            ProviderError: There is no such banner.
        """
        body = self.send("GET", "/", call).json()
        version = as_object(body).get("version")
        if not isinstance(version, dict):
            raise ProviderError("no Elasticsearch under addresses: its banner has no version")
        return version


def page_of(reply: Reply) -> Page:
    """Decode a search's answer.

    Raises:
        ProviderError: It is not JSON, or has no hits.
    """
    try:
        return reply.json_as(_page)
    except msgspec.ValidationError as exc:
        raise ProviderError("the answer is not that of an Elasticsearch search") from exc


def _failure(page: Page, redact: Redactor) -> str:
    """Return type and reason of the first failed shard."""
    first = page.shards.failures[0] if page.shards.failures else None
    cause = cause_of(as_object(first).get("reason"))
    words = [part for part in (cause.get("type"), cause.get("reason")) if isinstance(part, str)]
    return clean_text(redact(": ".join(words))) or "no reason given"


def _with_hosts(failed: OpsOrchError, lost: list[str], tried: list[int]) -> OpsOrchError:
    """Name every host where all of them were out of reach."""
    hosts = list(dict.fromkeys(lost))
    if len(lost) < len(tried) or len(hosts) < 2:
        return failed
    kind = failed.message.rpartition(": ")[2]
    return UpstreamUnreachable(f"Elasticsearch is unreachable at {', '.join(hosts)}: {kind}")


def _headers(call: Call) -> dict[str, str]:
    """Mark the request in the server's slow log by the caller's request id."""
    request_id = call.request_id
    if not request_id or len(request_id) > _MAX_REQUEST_ID or not request_id.isprintable():
        return {}
    return {"X-Opaque-Id": request_id} if request_id.isascii() else {}


def _node(address: str, settings: Settings, redact: Redactor) -> Upstream:
    base_url, userinfo = without_userinfo(address)
    return Upstream(
        base_url,
        dialect_of(redact),
        auth=_auth(settings, userinfo),
        redact=redact,
        **connection_of(settings),
    )


def _auth(settings: Settings, userinfo: tuple[str, str] | None) -> requests.auth.AuthBase:
    """Choose the credentials; configured ones win over those in the address."""
    if settings["apiKey"]:
        return HeaderAuth({"Authorization": f"ApiKey {settings['apiKey'].reveal()}"})
    if settings["bearerToken"]:
        return bearer_auth(settings["bearerToken"])
    return user_auth(settings, userinfo)

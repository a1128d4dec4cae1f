"""HTTP to an upstream: its statuses by requests-mock, its failures over real sockets."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import requests_mock
import urllib3.exceptions

from opsorch.deadline import Deadline
from opsorch.errors import (
    AuthFailed,
    BadRequest,
    Conflict,
    InvalidConfig,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
)
from opsorch.observability.redact import Redactor
from opsorch.plugin import Call
from opsorch.plugin import http as sdk_http
from opsorch.plugin.http import Dialect, HeaderAuth, Reply, Upstream, retry_after
from opsorch.plugin.losses import kind_of_loss
from opsorch.plugin.transport import Exchange
from tests.harness import free_port
from tests.plugin.loopback import (
    CERTIFICATE,
    Loopback,
    answers,
    drips,
    drops,
    loopback,
    resets,
    stays_silent,
)

BASE = "https://acme.test/api"
SECRET = "the-token-of-this-test"


@pytest.fixture
def http() -> Iterator[requests_mock.Mocker]:
    with requests_mock.Mocker() as mocker:
        yield mocker


@pytest.fixture
def pauses() -> list[float]:
    """The waits between tries, instead of waiting."""
    return []


@pytest.fixture
def upstream_of(pauses: list[float]) -> Callable[..., Upstream]:
    def build(base_url: str = BASE, dialect: Dialect | None = None, **options: Any) -> Upstream:
        made: dict[str, Any] = {"sleep": pauses.append, "jitter": lambda: 0.0, **options}
        return Upstream(base_url, dialect or Dialect("Acme"), **made)

    return build


@pytest.fixture
def acme(upstream_of: Callable[..., Upstream]) -> Upstream:
    return upstream_of()


def within(seconds: float = 30.0) -> Call:
    return Call(Deadline.after(seconds))


def error_of(ask: Callable[[], Any]) -> OpsOrchError:
    with pytest.raises(OpsOrchError) as raised:
        ask()
    return raised.value


# --- statuses -------------------------------------------------------------------------------------


def test_a_read_sends_what_it_is_given(http: requests_mock.Mocker, upstream_of: Any) -> None:
    """Headers, credentials, parameters; the base URL's path stays."""
    http.get(f"{BASE}/things", json=[1])
    auth = HeaderAuth({"Authorization": f"Bearer {SECRET}"})
    acme = upstream_of(f"{BASE}/", auth=auth, headers={"X-Extra": "1"})
    reply = acme.get("/things", within(), params={"q": "a b"})
    assert (reply.status, reply.json(), reply.text, reply.wrote) == (200, [1], "[1]", False)
    sent = http.last_request
    assert sent is not None
    assert sent.headers["Authorization"] == f"Bearer {SECRET}"
    assert (sent.headers["X-Extra"], sent.query) == ("1", "q=a+b")
    assert sent.headers["User-Agent"].startswith("opsorch-python/")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, AuthFailed),
        (403, AuthFailed),
        (404, NotFound),
        (408, UpstreamTimeout),
        (409, ProviderError),
        (410, NotFound),
        (418, ProviderError),
        (422, BadRequest),
        (429, RateLimited),
        (500, ProviderError),
        (502, ProviderError),
        (503, ProviderError),
        (504, UpstreamTimeout),
    ],
)
def test_each_status_has_its_error(
    http: requests_mock.Mocker, acme: Upstream, status: int, kind: type[OpsOrchError]
) -> None:
    """The same for reads and writes; the message names vendor and status."""
    http.register_uri(requests_mock.ANY, f"{BASE}/x", status_code=status)
    for error in (
        error_of(lambda: acme.get("/x", within())),
        error_of(lambda: acme.write("POST", "/x", within())),
    ):
        assert type(error) is kind
        assert f"Acme answered HTTP {status}" in error.message


def test_accepted_statuses_are_returned(http: requests_mock.Mocker, acme: Upstream) -> None:
    """Where the caller says that it knows what to do with them."""
    http.get(f"{BASE}/x", status_code=404)
    assert acme.get("/x", within(), accept={404}).status == 404


def test_a_vendors_own_table_and_words(http: requests_mock.Mocker, upstream_of: Any) -> None:
    """Its statuses win; its words are shown redacted and cut; never those of a 401."""
    dialect = Dialect("Acme", errors={409: Conflict}, text=lambda reply: reply.text)
    acme = upstream_of(dialect=dialect, redact=Redactor([SECRET]))
    http.get(f"{BASE}/x", status_code=409, text=f"not\nwith {SECRET} " + "x" * 500)
    error = error_of(lambda: acme.get("/x", within()))
    assert isinstance(error, Conflict)
    assert error.message.startswith("Acme answered HTTP 409: not with *** xxx")
    assert len(error.message) < 340
    http.get(f"{BASE}/x", status_code=401, text="your token was abcdef")
    assert error_of(lambda: acme.get("/x", within())).message == "Acme answered HTTP 401"


def test_a_vendor_that_answers_200_with_an_error(
    http: requests_mock.Mocker, upstream_of: Any, pauses: list[float]
) -> None:
    """classify() decides first, and what it says is redacted and retried like a status."""

    def classify(reply: Reply) -> OpsOrchError | None:
        return RateLimited(f"slow down, {SECRET}") if b"no" in reply.body else None

    acme = upstream_of(dialect=Dialect("Acme", classify=classify), redact=Redactor([SECRET]))
    http.get(f"{BASE}/x", [{"text": "no"}, {"text": "no"}, {"text": "yes"}])
    assert acme.get("/x", within()).text == "yes"
    assert pauses == [0.5, 1.0]
    http.get(f"{BASE}/x", text="no")
    error = error_of(lambda: acme.get("/x", within()))
    assert (error.message, error.retry_after_s) == ("slow down, ***", 1.0)
    assert str(error) == "slow down, ***"


# --- tries ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [502, 503, 504])
def test_reads_are_tried_three_times(
    http: requests_mock.Mocker, acme: Upstream, pauses: list[float], status: int
) -> None:
    """After growing pauses."""
    http.get(f"{BASE}/x", status_code=status)
    error_of(lambda: acme.get("/x", within()))
    assert (http.call_count, pauses) == (3, [0.5, 1.0])


def test_pauses_are_stretched_at_random(http: requests_mock.Mocker, pauses: list[float]) -> None:
    """By a quarter at most."""
    http.get(f"{BASE}/x", [{"status_code": 503}, {"json": 1}])
    acme = Upstream(BASE, Dialect("Acme"), sleep=pauses.append, jitter=lambda: 1.0)
    assert acme.get("/x", within()).json() == 1
    assert pauses == [0.625]


@pytest.mark.parametrize("status", [400, 401, 404, 408, 500])
def test_what_would_be_the_same_again_is_not_tried_again(
    http: requests_mock.Mocker, acme: Upstream, status: int
) -> None:
    """One request."""
    http.get(f"{BASE}/x", status_code=status)
    error_of(lambda: acme.get("/x", within()))
    assert http.call_count == 1


@pytest.mark.fault(54)
def test_a_rate_limit_is_waited_for_where_that_fits(
    http: requests_mock.Mocker, acme: Upstream, pauses: list[float]
) -> None:
    """Else it is told at once, with the wait."""
    limited = {"status_code": 429, "headers": {"Retry-After": "3"}}
    http.get(f"{BASE}/x", [limited, {"json": 1}])
    assert acme.get("/x", within()).json() == 1
    assert pauses == [3.0]
    http.get(f"{BASE}/y", status_code=429, headers={"Retry-After": "3600"})
    error = error_of(lambda: acme.get("/y", within()))
    assert (error.code, error.retry_after_s) == ("rate_limited", 3600)
    assert http.call_count == 3
    http.get(f"{BASE}/z", status_code=429)
    assert error_of(lambda: acme.get("/z", within())).retry_after_s == 1.0


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_write_is_sent_once(http: requests_mock.Mocker, acme: Upstream, status: int) -> None:
    """Only after 408 and 504 its outcome is unknown."""
    http.post(f"{BASE}/x", status_code=status)
    error = error_of(lambda: acme.write("POST", "/x", within()))
    assert http.call_count == 1
    assert error.outcome_unknown is (status == 504)


def test_a_vendor_may_be_unsure_of_more_statuses(
    http: requests_mock.Mocker, upstream_of: Any
) -> None:
    """unknown_writes says which."""
    acme = upstream_of(dialect=Dialect("Acme", unknown_writes=frozenset({500})))
    http.post(f"{BASE}/x", status_code=500)
    assert error_of(lambda: acme.write("POST", "/x", within())).outcome_unknown


def test_nothing_is_sent_after_the_deadline(http: requests_mock.Mocker, acme: Upstream) -> None:
    """A write that was not sent has no unknown outcome."""
    error = error_of(lambda: acme.write("POST", "/x", within(0)))
    assert isinstance(error, UpstreamTimeout)
    assert not error.outcome_unknown
    assert http.call_count == 0


# --- redirects ------------------------------------------------------------------------------------


@pytest.mark.fault(54)
def test_redirects_are_followed_only_where_the_vendor_allows_and_at_home(
    http: requests_mock.Mocker, upstream_of: Any
) -> None:
    """The same server in another spelling is at home; writes never follow."""
    http.get(f"{BASE}/old", status_code=301, headers={"Location": "HTTPS://ACME.test:443/api/new"})
    http.post(f"{BASE}/old", status_code=307, headers={"Location": "/api/new"})
    http.get("https://acme.test:443/api/new", json="found")
    acme = upstream_of(dialect=Dialect("Acme", same_host_redirects=True))
    assert acme.get("/old", within(), params={"a": "1"}).json() == "found"
    assert "not followed" in error_of(lambda: acme.write("POST", "/old", within())).message
    strict = upstream_of()
    error = error_of(lambda: strict.get("/old", within()))
    assert error.code == "provider_error"
    assert "Acme at acme.test:443 redirects to acme.test; not followed" in error.message


@pytest.mark.parametrize(
    ("status", "unknown"), [(301, True), (302, True), (303, True), (307, False), (308, False)]
)
@pytest.mark.parametrize("location", ["/api/items/7", "https://elsewhere.test/"])
def test_a_redirected_write_may_have_taken_effect(
    http: requests_mock.Mocker, acme: Upstream, location: str, status: int, unknown: bool
) -> None:
    """303 leads to what the write has made; many servers mean the same by 302, or by 301."""
    http.post(f"{BASE}/items", status_code=status, headers={"Location": location})
    error = error_of(lambda: acme.write("POST", "/items", within()))
    assert error.outcome_unknown is unknown
    assert ("may have taken effect" in error.message) is unknown
    assert http.call_count == 1


def test_a_vendor_may_be_sure_of_its_redirects(
    http: requests_mock.Mocker, upstream_of: Any
) -> None:
    """undone_redirects says of which."""
    acme = upstream_of(dialect=Dialect("Acme", undone_redirects=frozenset({301})))
    http.post(f"{BASE}/x", status_code=301, headers={"Location": "/api/y"})
    http.get(f"{BASE}/x", status_code=302, headers={"Location": "/api/y"})
    assert not error_of(lambda: acme.write("POST", "/x", within())).outcome_unknown
    assert not error_of(lambda: acme.get("/x", within())).outcome_unknown


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.test/api",
        "http://acme.test/api",
        "https://acme.test:8443/api",
        "https://acme.test@evil.test/",
        "//evil.test",
        "https://u:p@acme.test/api",
        "https://acme.test:99999/",
    ],
)
def test_redirects_to_elsewhere_are_not_followed(
    http: requests_mock.Mocker, upstream_of: Any, target: str
) -> None:
    """Credentials stay with the server they were given for."""
    http.get(f"{BASE}/x", status_code=302, headers={"Location": target})
    acme = upstream_of(dialect=Dialect("Acme", same_host_redirects=True))
    assert "not followed" in error_of(lambda: acme.get("/x", within())).message
    assert http.call_count == 1


@pytest.mark.fault(54)
def test_a_redirect_loop_ends(http: requests_mock.Mocker, upstream_of: Any) -> None:
    """After five."""
    http.get(f"{BASE}/x", status_code=302, headers={"Location": f"{BASE}/x"})
    acme = upstream_of(dialect=Dialect("Acme", same_host_redirects=True))
    error = error_of(lambda: acme.get("/x", within()))
    assert error.message == "Acme redirects without end."
    assert http.call_count == 6


def test_links_of_the_vendor_lead_nowhere_else(
    http: requests_mock.Mocker, acme: Upstream, upstream_of: Any
) -> None:
    """A next page is read where it is of the same server, however that is written."""
    http.get(f"{BASE}/page2", json=2)
    http.get("https://acme.test:443/api/page2", json=3)
    assert acme.get(f"{BASE}/page2", within()).json() == 2
    assert acme.get("https://ACME.TEST:443/api/page2", within()).json() == 3
    bare = upstream_of("https://acme.test")
    for link in ("https://evil.test/x", "http://acme.test/api/page2", "@evil.test/x", ":444/x"):
        error = error_of(lambda link=link: bare.get(link, within()))
        assert "another host" in error.message
    assert http.call_count == 2


# --- answers --------------------------------------------------------------------------------------


def test_an_answer_that_is_no_json(http: requests_mock.Mocker, acme: Upstream) -> None:
    """The content type is named, the body is not; after a write its outcome is unknown."""
    login = {"text": "<html>log in</html>", "headers": {"Content-Type": "text/html"}}
    http.get(f"{BASE}/x", **login)
    http.post(f"{BASE}/x", **login)
    error = error_of(acme.get("/x", within()).json)
    assert (error.code, error.outcome_unknown) == ("provider_error", False)
    assert error.message == "the upstream's answer is not JSON (text/html)"
    error = error_of(acme.write("POST", "/x", within()).json)
    assert error.outcome_unknown
    assert acme.get("/x", within()).json_or_none() is None


@pytest.mark.parametrize(
    "body",
    [b"", b"NaN", b'{"a": 1e999}', b'"\xff"', b"[" * 100_000, b'{"a": 1} x', b'"\\ud800', b'"\\x"'],
)
def test_odd_bodies(body: bytes) -> None:
    """None of them is more than an error."""
    reply = Reply(200, {}, body, BASE)
    assert reply.json_or_none() is None
    assert "no content type" in error_of(reply.json).message


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'"cut \ud83d"', "cut \ufffd"),
        (rb'"\ude00 cut"', "\ufffd cut"),
        (rb'"\ud83d\ude00 whole, \ud83d\ud83d\ude00"', "\U0001f600 whole, \ufffd\U0001f600"),
        (rb'"\\ud800 is text, \\\ud800 is not"', "\\ud800 is text, \\\ufffd is not"),
    ],
)
def test_half_a_pair_costs_only_itself(body: bytes, text: str) -> None:
    """Log lines are cut by bytes; the others of the answer are still wanted."""
    assert Reply(200, {}, body, BASE).json() == text


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 2.5 ", 2.5),
        ("-1", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 0.0),
        ("Wed, 01 Jan 2020 00:00:00 -0000", 0.0),
        ("Wed, 01 Jan 2020 00:00:00 +99999999999", None),
    ],
)
def test_retry_after_in_all_forms(value: str, seconds: float | None) -> None:
    """Seconds or a date; what is neither counts as absent."""
    assert retry_after(Reply(429, {"Retry-After": value}, b"", BASE)) == seconds


def test_a_retry_after_of_the_future() -> None:
    """It is told in seconds from now."""
    found = retry_after(Reply(429, {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}, b"", BASE))
    assert found is not None and found > 1e9


@pytest.mark.fault(54)
def test_a_body_beyond_the_limit(
    http: requests_mock.Mocker, acme: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up; a write may have worked."""
    monkeypatch.setattr(sdk_http, "MAX_BODY_BYTES", 1024 * 1024)
    http.register_uri(requests_mock.ANY, f"{BASE}/x", content=b"x" * (1024 * 1024 + 1))
    error = error_of(lambda: acme.get("/x", within()))
    assert (error.code, error.outcome_unknown) == ("provider_error", False)
    assert error.message == "Acme's answer is over 1 MiB."
    assert error_of(lambda: acme.write("POST", "/x", within())).outcome_unknown


def test_a_body_is_given_up_between_two_pieces(http: requests_mock.Mocker, acme: Upstream) -> None:
    """Whatever transport brings them."""
    http.register_uri(requests_mock.ANY, f"{BASE}/x", content=b"x" * 200_000)
    ticks = iter(range(100))
    deadline = Deadline(2.5, 2.5, clock=lambda: float(next(ticks)))
    error = error_of(lambda: acme.write("POST", "/x", Call(deadline)))
    assert (error.code, error.outcome_unknown) == ("upstream_timeout", True)


# --- failures, by kind ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "code", "words", "unknown"),
    [
        (requests.ConnectTimeout(), "upstream_unreachable", "connect timeout", False),
        (requests.ReadTimeout(), "upstream_timeout", "did not answer within", True),
        (requests.ConnectionError(), "upstream_unreachable", "connection lost", True),
        (
            requests.ConnectionError(ConnectionResetError()),
            "upstream_unreachable",
            "connection reset",
            True,
        ),
        (
            requests.ConnectionError(ConnectionRefusedError()),
            "upstream_unreachable",
            "connection refused",
            False,
        ),
        (
            requests.ConnectionError(socket.gaierror()),
            "upstream_unreachable",
            "does not resolve",
            False,
        ),
        (requests.exceptions.ProxyError(), "upstream_unreachable", "connection lost", True),
        (
            requests.exceptions.ProxyError(urllib3.exceptions.ProxyError("", OSError())),
            "upstream_unreachable",
            "the proxy does not connect",
            False,
        ),
        (requests.exceptions.SSLError(), "upstream_unreachable", "TLS", False),
        (requests.exceptions.InvalidURL(), "upstream_unreachable", "the URL is invalid", False),
        (requests.exceptions.InvalidHeader(), "provider_error", "cannot be sent", False),
        (requests.exceptions.InvalidJSONError(), "provider_error", "the payload", False),
        (UnicodeEncodeError("latin-1", "\u20ac", 0, 1, ""), "provider_error", "credentials", False),
        (TimeoutError(), "upstream_timeout", "did not answer", True),
        (OSError(), "upstream_unreachable", "connection lost", True),
        (urllib3.exceptions.DecodeError(), "upstream_unreachable", "connection lost", True),
    ],
)
def test_failures_and_whether_a_write_may_have_left(
    http: requests_mock.Mocker,
    acme: Upstream,
    failure: Exception,
    code: str,
    words: str,
    unknown: bool,
) -> None:
    """Where the transport cannot tell, the kind of failure decides."""
    http.post(f"{BASE}/x", exc=failure)
    error = error_of(lambda: acme.write("POST", "/x", within()))
    assert (error.code, error.outcome_unknown) == (code, unknown)
    assert words in error.message
    assert http.call_count == 1
    assert ("may have taken effect" in error.message) is unknown


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://acme.test/x", True),
        ("https://ACME.test:443/x", True),
        ("https://acme.test:8443/x", False),
        ("http://acme.test/x", False),
        ("https://user@acme.test/x", False),
        ("https://evil.test/acme.test", False),
    ],
)
def test_an_upstream_knows_its_own_addresses(acme: Upstream, url: str, own: bool) -> None:
    """Scheme, host and port count, however they are written."""
    assert acme.is_own(url) is own


def test_the_cause_is_kept(http: requests_mock.Mocker, acme: Upstream) -> None:
    """For those who debug."""
    failure = requests.ConnectionError("lost")
    http.get(f"{BASE}/x", exc=failure)
    assert error_of(lambda: acme.get("/x", within())).__cause__ is failure
    assert error_of(lambda: acme.write("GET", "/x", within())).__cause__ is failure


def test_a_circle_of_causes_ends() -> None:
    """An exception may be its own context."""
    first, second = ValueError(), OSError()
    first.__context__, second.__context__ = second, first
    assert kind_of_loss(first) == ("connection lost", True)


# --- failures, over real sockets ------------------------------------------------------------------


def url_of(server: Loopback, scheme: str = "http") -> str:
    return f"{scheme}://{server.address}"


@pytest.mark.fault(54)
@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_a_slow_drip_stops_at_the_deadline(upstream_of: Any, start: bytes) -> None:
    """In the status line, the header and the body."""
    drop = b" " if start.endswith((b"\n\r\n", b": ")) else b"A"
    with loopback(drips(start, drop)) as server:
        acme = upstream_of(url_of(server))
        began = time.monotonic()
        error = error_of(lambda: acme.get("/x", within(0.3)))
        took_s = time.monotonic() - began
    assert error.code == "upstream_timeout"
    assert f"Acme at {server.address} did not answer within 0.3 s" in error.message
    assert 0.2 < took_s < 5


@pytest.mark.fault(54)
def test_a_silent_server_is_a_timeout(upstream_of: Any) -> None:
    """And a write to it may have taken effect."""
    with loopback(stays_silent) as server:
        acme = upstream_of(url_of(server))
        error = error_of(lambda: acme.write("POST", "/x", within(0.3), json={}))
    assert (error.code, error.outcome_unknown) == ("upstream_timeout", True)
    assert len(server.seen) == 1


@pytest.mark.fault(54)
def test_a_server_that_takes_no_more_is_a_timeout(upstream_of: Any) -> None:
    """Sending is bounded as well as reading."""
    release = threading.Event()
    with loopback(lambda connection: release.wait(30) and None, read=False) as server:
        acme = upstream_of(url_of(server))
        began = time.monotonic()
        try:
            error = error_of(lambda: acme.write("POST", "/x", within(0.3), data=b"x" * 30_000_000))
        finally:
            release.set()
        assert time.monotonic() - began < 10
    assert (error.code, error.outcome_unknown) == ("upstream_timeout", True)


@pytest.mark.fault(54)
def test_rate_limits_and_server_errors_over_the_wire(upstream_of: Any) -> None:
    """429 with its wait; 5xx until one answer is good."""
    limited = answers("429 Too Many Requests", "Retry-After: 77")
    broken = answers("503 Service Unavailable", body=b"<html>")
    with loopback(limited, broken, broken, answers("200 OK", body=b'"good"')) as server:
        acme = upstream_of(url_of(server))
        error = error_of(lambda: acme.get("/x", within()))
        assert (error.code, error.retry_after_s) == ("rate_limited", 77)
        assert acme.get("/x", within()).json() == "good"
    assert len(server.seen) == 4


@pytest.mark.fault(54)
@pytest.mark.parametrize("serve", [drops, resets])
def test_a_lost_connection_is_bridged_for_reads(upstream_of: Any, serve: Any) -> None:
    """Two more tries; then host and port are named."""
    with loopback(serve, serve, answers("200 OK", body=b"1"), serve) as server:
        acme = upstream_of(url_of(server))
        assert acme.get("/x", within()).json() == 1
        error = error_of(lambda: acme.get("/x", within()))
    assert error.code == "upstream_unreachable"
    assert server.address in error.message
    assert len(server.seen) == 6


@pytest.mark.fault(55)
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "serve", [drops, resets, answers("200 OK", "Content-Length: 100", body=b"half")]
)
def test_a_post_that_was_taken_is_sent_once_and_its_outcome_is_unknown(
    upstream_of: Any, serve: Any, tls: bool
) -> None:
    """The connection is dropped after the request was read, or in the answer."""
    if serve not in (drops, resets):
        half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
        serve = lambda connection: connection.sendall(half)  # noqa: E731  one line says it
    with loopback(serve, tls=tls) as server:
        acme = upstream_of(url_of(server, "https" if tls else "http"), verify=str(CERTIFICATE))
        error = error_of(lambda: acme.write("POST", "/x", within(), json={"title": "once"}))
    assert (error.code, error.outcome_unknown) == ("upstream_unreachable", True)
    assert "may have taken effect" in error.message
    assert len(server.seen) == 1


@pytest.mark.fault(55)
def test_a_post_on_a_connection_that_was_kept_and_is_gone(upstream_of: Any) -> None:
    """It was sent, so that nobody knows; it is not sent again on a new one."""
    kept = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    taken: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(kept)
        taken.append(connection.recv(65_536))

    with loopback(serve) as server:
        acme = upstream_of(url_of(server))
        acme.get("/x", within())
        error = error_of(lambda: acme.write("POST", "/y", within(), data=b"once"))
    assert (error.code, error.outcome_unknown) == ("upstream_unreachable", True)
    assert len(server.seen) == 1
    assert len([request for request in taken if request.startswith(b"POST")]) == 1


@pytest.mark.fault(55)
def test_a_post_that_did_not_leave_has_no_unknown_outcome(upstream_of: Any) -> None:
    """Refused connections and failed handshakes carry nothing."""
    acme = upstream_of(f"http://127.0.0.1:{free_port()}")
    error = error_of(lambda: acme.write("POST", "/x", within()))
    assert (error.code, error.outcome_unknown) == ("upstream_unreachable", False)
    assert "connection refused" in error.message

    def resets_the_handshake(connection: socket.socket) -> None:
        assert connection.recv(65_536)
        resets(connection)

    with loopback(resets_the_handshake, read=False) as server:
        acme = upstream_of(url_of(server, "https"))
        error = error_of(lambda: acme.write("POST", "/x", within()))
    assert (error.code, error.outcome_unknown) == ("upstream_unreachable", False)


@pytest.mark.fault(54)
@pytest.mark.parametrize("way", ["unknown CA", "other name", "no TLS"])
def test_bad_tls(upstream_of: Any, way: str) -> None:
    """Nothing is sent, not even to a server that would take it."""
    plain = way == "no TLS"
    with loopback(answers("200 OK"), tls=not plain, read=not plain) as server:
        host = f"localhost:{server.port}" if way == "other name" else server.address
        verify = None if way == "unknown CA" else str(CERTIFICATE)
        acme = upstream_of(f"https://{host}", verify=verify)
        error = error_of(lambda: acme.write("POST", "/x", within()))
    assert (error.code, error.outcome_unknown) == ("upstream_unreachable", False)
    assert "TLS" in error.message
    assert server.seen == []


def test_tls_with_a_known_ca_and_without_any_check(upstream_of: Any) -> None:
    """A CA file, or verify=False, which an environment's bundle must not override."""
    with loopback(answers("200 OK", body=b"1"), tls=True) as server:
        for verify in (str(CERTIFICATE), False):
            acme = upstream_of(url_of(server, "https"), verify=verify)
            if verify is False:
                with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
                    assert acme.get("/x", within()).json() == 1
            else:
                assert acme.get("/x", within()).json() == 1


def test_a_handshake_that_never_comes(upstream_of: Any) -> None:
    """It counts as unreachable and is given up in time."""
    with loopback(stays_silent, read=False) as server:
        acme = upstream_of(url_of(server, "https"))
        began = time.monotonic()
        error = error_of(lambda: acme.write("POST", "/x", within(0.4)))
        assert time.monotonic() - began < 5
    assert (error.code, error.outcome_unknown) == ("upstream_unreachable", False)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxies_and_their_exceptions(
    upstream_of: Any, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """NO_PROXY holds with a CA file as well; a proxy that refuses is told as such."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with (
        loopback(answers("200 OK", body=b'"direct"'), tls=scheme == "https") as server,
        loopback(answers("502 Bad Gateway"), answers("502 Bad Gateway")) as proxy,
    ):
        monkeypatch.setenv(f"{scheme}_proxy", url_of(proxy))
        url = url_of(server, scheme)
        acme = upstream_of(url, verify=str(CERTIFICATE))
        error = error_of(lambda: acme.write("POST", "/x", within(), data=b"body"))
        asked = proxy.seen[0]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        acme = upstream_of(url, verify=str(CERTIFICATE))
        assert acme.get("/x", within()).json() == "direct"
    assert len(proxy.seen) == 1
    if scheme == "https":
        assert asked.startswith(b"CONNECT 127.0.0.1")
        assert (error.code, error.outcome_unknown) == ("upstream_unreachable", False)
    else:
        assert asked.startswith(b"POST http://127.0.0.1")
        assert error.code == "provider_error"


def test_compressed_bodies_of_many_pieces(upstream_of: Any) -> None:
    """They are put together to the last byte."""
    text = b'["' + b"abc" * 100_000 + b'"]'
    packed = gzip.compress(text)

    def serve(connection: socket.socket) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        connection.sendall(head.encode() + packed[:5])
        connection.sendall(packed[5:])

    with loopback(serve) as server:
        assert upstream_of(url_of(server)).get("/x", within()).body == text


@pytest.mark.parametrize("token", ["with\nnewline", "\u20ac\u20ac\u20ac\u20ac"])
def test_credentials_that_http_does_not_allow(upstream_of: Any, token: str) -> None:
    """What to look at is said, the value is not; nothing is sent and nothing unknown."""
    with loopback(answers("200 OK")) as server:
        auth = HeaderAuth({"Authorization": f"Bearer {token}"})
        acme = upstream_of(url_of(server), auth=auth)
        error = error_of(lambda: acme.write("POST", "/x", within()))
        failed = error_of(lambda: acme.get("/x", within(), headers={"X-Request-ID": "a\nb"}))
    for found in (error, failed):
        assert (found.code, found.outcome_unknown) == ("provider_error", False)
        assert "Check the configured URL, credentials and headers" in found.message
        assert token not in found.message
    assert server.seen == []


def test_an_error_of_the_credentials_passes_through(upstream_of: Any) -> None:
    """A token file that cannot be read is the configuration's fault."""

    class Unreadable(requests.auth.AuthBase):
        def __call__(self, request: Any) -> Any:
            raise InvalidConfig("field tokenFile cannot be read")

    acme = upstream_of(f"http://127.0.0.1:{free_port()}", auth=Unreadable())
    assert error_of(lambda: acme.get("/x", within())).code == "invalid_config"


def test_threads_have_sessions_of_their_own(upstream_of: Any) -> None:
    """A session is no thing to share."""
    with loopback(answers("200 OK", body=b"1")) as server:
        acme = upstream_of(url_of(server))
        sessions = [acme._session()]
        thread = threading.Thread(target=lambda: sessions.append(acme._session()))
        thread.start()
        thread.join()
        assert acme._session() is sessions[0] is not sessions[1]


def test_an_exchange_has_no_time_after_its_deadline() -> None:
    """What asks for it learns so as a timeout."""
    assert Exchange(Deadline.after(60)).remaining_s() > 0
    with pytest.raises(TimeoutError):
        Exchange(Deadline.after(0)).remaining_s()

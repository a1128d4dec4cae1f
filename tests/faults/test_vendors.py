"""Faults 54 and 55 through the gateway: what callers are told when a vendor's API fails."""

import contextlib
import json
import pathlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.gateways import answered, gateway_with, metric, told
from tests.harness import Answer, Gateway
from tests.plugin.loopback import Loopback, Serve, answers, drips, drops, loopback, resets

ISSUE = json.dumps({"number": 12, "title": "Checkout fails", "state": "open"}).encode()


class Vendor:
    """A vendor's API that fails in one way until it is mended."""

    def __init__(self, fails: Serve) -> None:
        self._fails = fails
        self.mended = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        works = answers("200 OK", body=ISSUE)
        (works if self.mended.is_set() else self._fails)(connection)


@contextlib.contextmanager
def gateway_of(folder: pathlib.Path, server: Loopback, scheme: str = "http") -> Iterator[Gateway]:
    """Run a gateway whose tickets are GitHub's issues on this server."""
    config = {
        "token": "any",
        "owner": "acme",
        "repo": "web",
        "apiURL": f"{scheme}://{server.address}",
        "timeoutSeconds": 3,
    }
    env = {
        "OPSORCH_TICKET_PLUGIN": "bundled:github",
        "OPSORCH_TICKET_CONFIG": json.dumps(config),
    }
    with gateway_with(folder, env=env) as gateway:
        yield gateway


def is_told(gateway: Gateway, answer: Answer, status: int, code: str) -> bool:
    """Tell whether the caller, the log and the metrics have it; the plugin is none the worse."""
    calls = "opsorch_plugin_call_duration_seconds_count"
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answered(gateway, answer.headers["X-Request-ID"], status, code)
    assert metric(gateway, calls, capability="ticket", code=code) == 1
    assert metric(gateway, "opsorch_plugin_starts_total", capability="ticket") == 1
    return not told(gateway, "lease.discarded")


WAYS: dict[str, tuple[Serve, int, str]] = {
    "rate limit": (
        answers("429 Too Many Requests", "Retry-After: 77"), 429, "rate_limited",
    ),
    "server error": (answers("503 Service Unavailable"), 502, "provider_error"),
    "reset": (resets, 502, "upstream_unreachable"),
    "slow drip": (drips(b"HTTP/1.1 200 OK\r\n", b"A"), 504, "upstream_timeout"),
    "credentials": (answers("401 Unauthorized"), 502, "auth_failed"),
    "redirect loop": (
        answers("302 Found", "Location: /repos/acme/web/issues/12"), 502, "provider_error",
    ),
}  # fmt: skip


@pytest.mark.fault(54)
@pytest.mark.parametrize(("fails", "status", "code"), WAYS.values(), ids=WAYS)
def test_what_a_vendor_does_has_its_code(
    tmp_path: pathlib.Path, fails: Serve, status: int, code: str
) -> None:
    vendor = Vendor(fails)
    with loopback(vendor) as server, gateway_of(tmp_path, server) as gateway:
        began = time.monotonic()
        answer = gateway.request("GET", "/tickets/12")
        # Three seconds are the budget of pages, waits and tries.
        assert time.monotonic() - began < 10
        assert is_told(gateway, answer, status, code)
        assert answer.headers.get("Retry-After") == ("77" if code == "rate_limited" else None)
        vendor.mended.set()
        assert gateway.request("GET", "/tickets/12").json["title"] == "Checkout fails"


@pytest.mark.fault(54)
def test_a_vendor_with_a_certificate_of_nobody_is_not_trusted(tmp_path: pathlib.Path) -> None:
    with loopback(answers("200 OK"), tls=True) as server:
        with gateway_of(tmp_path, server, "https") as gateway:
            answer = gateway.request("GET", "/tickets/12")
            assert "TLS" in answer.json["message"]
            assert is_told(gateway, answer, 502, "upstream_unreachable")
            assert gateway.request("POST", "/alerts/query", {}).status == 200
        assert server.seen == []


@pytest.mark.fault(55)
@pytest.mark.parametrize("fails", [drops, resets])
def test_a_write_that_a_vendor_lost_is_sent_once(tmp_path: pathlib.Path, fails: Serve) -> None:
    vendor = Vendor(fails)
    with loopback(vendor) as server, gateway_of(tmp_path, server) as gateway:
        answer = gateway.request("POST", "/tickets", {"title": "once"})
        assert answer.json["outcome"] == "unknown"
        assert len(server.seen) == 1
        assert is_told(gateway, answer, 502, "upstream_unreachable")
        vendor.mended.set()
        assert gateway.request("POST", "/tickets", {"title": "twice"}).status == 201
        assert len(server.seen) == 2

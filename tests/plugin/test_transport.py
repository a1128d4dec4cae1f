"""The bounded connections where no call bounds them, and under other proxies."""

import requests

from opsorch.deadline import Deadline
from opsorch.plugin.transport import BoundedAdapter, exchange
from tests.plugin.loopback import answers, loopback


def test_outside_an_exchange_it_is_an_ordinary_transport() -> None:
    """Nothing is bounded, nothing noted, and all is read."""
    with loopback(answers("200 OK", body=b"1")) as server, requests.Session() as session:
        session.mount("http://", BoundedAdapter())
        assert session.get(f"http://{server.address}/x", timeout=30).json() == 1


def test_an_exchange_tells_what_left() -> None:
    """Nothing before the connection is there, the request afterwards."""
    with loopback(answers("200 OK", body=b"1")) as server, requests.Session() as session:
        session.mount("http://", BoundedAdapter())
        with exchange(Deadline.after(30)) as current:
            assert current.left is None
            session.get(f"http://{server.address}/x", timeout=30)
            assert current.left is True


def test_exchanges_nest() -> None:
    """The inner one ends and the outer one is the current again."""
    with loopback(answers("200 OK", body=b"1")) as server, requests.Session() as session:
        session.mount("http://", BoundedAdapter())
        with exchange(Deadline.after(30)) as outer:
            with exchange(Deadline.after(30)):
                pass
            session.get(f"http://{server.address}/x", timeout=30)
        assert outer.left is True


def test_another_kind_of_proxy_keeps_its_own_pools() -> None:
    """SOCKS connections are made by the library that speaks SOCKS."""

    class Manager:
        pool_classes_by_scheme = "its own"

    adapter = BoundedAdapter()
    adapter.proxy_manager["socks5://proxy.test"] = Manager()
    adapter.proxy_manager["http://proxy.test"] = Manager()
    assert adapter.proxy_manager_for("socks5://proxy.test").pool_classes_by_scheme == "its own"
    assert set(adapter.proxy_manager_for("http://proxy.test").pool_classes_by_scheme) == {
        "http",
        "https",
    }

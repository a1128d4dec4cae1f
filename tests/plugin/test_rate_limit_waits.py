"""How long a read waits between tries, and what callers of a rate-limited upstream are told."""

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import OpsOrchError, RateLimited
from opsorch.plugin import Call
from opsorch.plugin.http import Dialect, Reply, Upstream

URL = "https://acme.test/x"


def failed_read(dialect: Dialect, pauses: list[float], **reply: object) -> OpsOrchError:
    upstream = Upstream("https://acme.test", dialect, sleep=pauses.append, jitter=lambda: 0.0)
    with requests_mock.Mocker() as http:
        http.get(URL, **reply)
        with pytest.raises(OpsOrchError) as failed:
            upstream.get("/x", Call(Deadline.after(20.0)))
    return failed.value


def test_a_rate_limit_without_a_time_is_tried_again_after_the_usual_pauses() -> None:
    """default_wait_s is for callers: a long one does not end the tries."""
    pauses: list[float] = []
    error = failed_read(Dialect("Acme", default_wait_s=30.0), pauses, status_code=429)
    assert (error.code, error.retry_after_s) == ("rate_limited", 30.0)
    assert pauses == [0.5, 1.0]


@pytest.mark.parametrize(("told_s", "expected"), [("3", [3.0, 3.0]), ("60", [])])
def test_a_time_that_is_told_is_waited_for_where_it_fits(
    told_s: str, expected: list[float]
) -> None:
    """And passed on where it does not."""
    pauses: list[float] = []
    error = failed_read(Dialect("Acme"), pauses, status_code=429, headers={"Retry-After": told_s})
    assert error.retry_after_s == float(told_s)
    assert pauses == expected


def test_a_time_that_the_adapter_read_elsewhere_is_waited_for() -> None:
    """classify may have found it in the body."""

    def classify(reply: Reply) -> OpsOrchError:
        return RateLimited("slow down", retry_after_s=2.0)

    pauses: list[float] = []
    error = failed_read(Dialect("Acme", classify=classify), pauses, status_code=200)
    assert error.retry_after_s == 2.0
    assert pauses == [2.0, 2.0]

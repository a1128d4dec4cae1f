"""A redirect that is not followed says what to do about it."""

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import ProviderError
from opsorch.plugin import Call
from opsorch.plugin.http import Dialect, Upstream
from opsorch.plugin.outcome import MAYBE


@pytest.mark.parametrize(
    ("dialect", "hint"),
    [
        (Dialect("Acme"), "Check the configured URL."),
        (Dialect("Acme", redirect_hint="Update the project."), "Update the project."),
    ],
)
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_an_unfollowed_redirect_says_what_to_do(dialect: Dialect, hint: str, verb: str) -> None:
    """In the vendor's words where its dialect has some."""
    upstream = Upstream("https://acme.test", dialect)
    send = upstream.read if verb == "GET" else upstream.write
    with requests_mock.Mocker() as http:
        location = {"Location": "https://elsewhere.test/x"}
        http.register_uri(verb, "https://acme.test/x", status_code=302, headers=location)
        with pytest.raises(ProviderError) as failed:
            send(verb, "/x", Call(Deadline.after(5.0)))
        assert http.call_count == 1
    more = "" if verb == "GET" else f" {MAYBE}"
    assert failed.value.message.endswith(f"elsewhere.test; not followed. {hint}{more}")

"""The tree of errors: codes, statuses, and what each says of itself."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from opsorch import errors
from opsorch.errors import (
    CODES_OF_PLUGINS,
    STATUS_OF_CODE,
    OpsOrchError,
    PluginBusy,
    PluginCrashed,
    ProviderError,
    ProviderMissing,
    ReplyBroken,
    ReportedError,
)


def tree(root: type[OpsOrchError] = OpsOrchError) -> Iterator[type[OpsOrchError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


EVERY = tuple(tree())

# Classes that share the code of another on purpose: the bases, which are not raised themselves,
# and failures that callers need not tell apart.
SHARED = {
    "OpsOrchError": "internal_error",
    "RequestError": "bad_request",
    "PluginFailure": "plugin_crashed",
    "ReportedError": "provider_error",
    "ReplyBroken": "provider_error",
}


def made(kind: type[OpsOrchError]) -> OpsOrchError:
    if kind is ProviderMissing:
        return ProviderMissing("Set OPSORCH_TICKET_PLUGIN.", capability="ticket")
    return kind("What happened, and what to do.")


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_a_status_and_a_message(kind: type[OpsOrchError]) -> None:
    """The status is that of the code; the code is a stable word."""
    error = made(kind)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert 400 <= error.status < 600
    assert str(error) == error.message
    assert error.retry_after_s is None
    assert error.outcome_unknown is False
    assert kind.__doc__


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_stands_in_the_drawing(kind: type[OpsOrchError]) -> None:
    """With its code beside it, where it has one of its own."""
    assert errors.__doc__ is not None
    drawn = re.search(rf"(?:^|[├└─│ ]){kind.__name__}\b *(.*)$", errors.__doc__, re.MULTILINE)
    assert drawn
    if kind.__name__ not in {"OpsOrchError", "RequestError", "PluginFailure"}:
        code = "<capability>_provider_missing" if kind is ProviderMissing else kind.code
        assert drawn.group(1).startswith(code)


def test_codes_are_unique_but_for_the_documented_ones() -> None:
    """Callers compare them."""
    own = [k.code for k in EVERY if k.__name__ not in SHARED and k is not ProviderMissing]
    assert [code for code, count in Counter(own).items() if count > 1] == []
    assert {name: getattr(errors, name).code for name in SHARED} == SHARED


def test_every_status_belongs_to_an_error() -> None:
    """And every code of the table is raised by a class."""
    codes = {kind.code for kind in EVERY} | {"provider_missing"}
    assert set(STATUS_OF_CODE) == codes
    assert set(STATUS_OF_CODE) >= CODES_OF_PLUGINS


def test_a_missing_provider_names_its_capability() -> None:
    """In the code; the status is one for all."""
    error = ProviderMissing("Set it.", capability="incident")
    assert (error.code, error.status, error.capability) == (
        "incident_provider_missing",
        501,
        "incident",
    )


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("bad_request", 400),
        ("not_found", 404),
        ("conflict", 409),
        ("rate_limited", 429),
        ("upstream_timeout", 504),
        ("auth_failed", 502),
        ("unauthorized", 502),
        ("forbidden", 502),
        ("rpc_timeout", 502),
        ("internal_error", 502),
        ("anything", 502),
        ("", 502),
    ],
)
def test_what_a_plugin_reports_blames_the_caller_for_five_codes_only(
    code: str, status: int
) -> None:
    """A vendor's 401 says nothing of the caller's token."""
    error = ReportedError("x", code=code, retry_after_s=2, outcome_unknown=True)
    assert (error.code, error.status) == (code, status)
    assert (error.retry_after_s, error.outcome_unknown) == (2, True)
    assert isinstance(error, ProviderError)


def test_a_failure_of_a_plugin_says_whether_the_request_was_sent() -> None:
    """A broken reply answers something; the others are told."""
    assert ReplyBroken("x").sent is True
    assert ReplyBroken("x", sent=False).sent is False
    assert PluginCrashed("x").sent is False
    assert PluginCrashed("x", sent=True).sent is True
    assert PluginBusy("x", retry_after_s=1).retry_after_s == 1


def test_a_refused_verb_names_the_allowed_ones() -> None:
    """For the Allow header."""
    assert errors.MethodNotAllowed("x", allowed=("GET",)).allowed == ("GET",)


def test_a_message_may_be_redacted_afterwards() -> None:
    """What is logged is the message as it stands then."""
    error = ProviderError("with token abc")
    error.message = "with ***"
    assert str(error) == "with ***"

"""What Slack's words mean here: error codes, and the reply to a message."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from opsorch.errors import (
    AuthFailed,
    BadRequest,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
)
from opsorch.observability.redact import clean_text
from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.times import ZERO_TIME, from_epoch
from opsorch.plugin.vendor import as_texts, object_in, text_at, text_in

Clean = Callable[[str], str]

TIMESTAMP: Final = re.compile(r"([0-9]{10})\.([0-9]{6})")
MAX_WARNINGS: Final = 20


class MissingScope(AuthFailed):
    """The token lacks a scope, which the message names."""


class ChannelNotFound(NotFound):
    """Slack knows no such channel, or hides it from the app."""


def _rows(error: type[OpsOrchError], codes: str) -> dict[str, type[OpsOrchError]]:
    return dict.fromkeys(codes.split(), error)


# Codes that are not here, and those whose cause is on Slack's side (fatal_error, internal_error,
# service_unavailable, request_timeout, team_added_to_org), are provider_error: after one of them
# nobody knows whether a message was posted.
# Sources: docs.slack.dev/reference/methods/chat.postMessage, .../conversations.list,
# .../users.lookupByEmail, .../chat.getPermalink and .../auth.test, sections "Errors".
ERROR_OF_CODE: Final[Mapping[str, type[OpsOrchError]]] = {
    **_rows(
        AuthFailed,
        "invalid_auth not_authed account_inactive token_revoked token_expired"
        " not_allowed_token_type no_permission org_login_required ekm_access_denied access_denied"
        " two_factor_setup_required",
    ),
    "missing_scope": MissingScope,
    "channel_not_found": ChannelNotFound,
    **_rows(NotFound, "users_not_found user_not_found thread_not_found message_not_found"),
    **_rows(
        BadRequest,
        "not_in_channel is_archived msg_too_long msg_blocks_too_long no_text invalid_blocks"
        " invalid_blocks_format too_many_attachments invalid_arguments invalid_arg_name"
        " invalid_post_type cannot_reply_to_message messages_tab_disabled",
    ),
    **_rows(RateLimited, "ratelimited rate_limited message_limit_exceeded"),
}
# Families of codes that grow: restricted_action_read_only_channel and others.
_REFUSED_FAMILIES: Final = ("restricted_action", "slack_connect_")

HINT_OF_CODE: Final[Mapping[str, str]] = {
    "channel_not_found": "check the channel; a private one needs the app invited",
    "not_in_channel": "invite the app to the channel or grant chat:write.public",
}


def error_type_of(code: str) -> type[OpsOrchError]:
    """Return the class of error that a code of Slack's stands for."""
    if code.startswith(_REFUSED_FAMILIES):
        return BadRequest
    return ERROR_OF_CODE.get(code, ProviderError)


def error_of_body(method: str, body: Mapping[str, Any], redact: Clean) -> OpsOrchError:
    """Make the error of a reply with ``ok`` false.

    Slack's code is always part of the message: callers match on it.
    """
    code = told(body.get("error"), redact, 100) or "unknown_error"
    error_type = error_type_of(code)
    return error_type(f"Slack refused {method}: {code}{_why(code, error_type, body, redact)}")


def _why(code: str, error_type: type[OpsOrchError], body: Mapping[str, Any], redact: Clean) -> str:
    """Return what there is to say beyond the code, with the punctuation before it."""
    if code == "missing_scope":
        needed = told(body.get("needed"), redact) or "of this method"
        return f"; grant the app the scope {needed}"
    if code in HINT_OF_CODE:
        return f"; {HINT_OF_CODE[code]}"
    if error_type is BadRequest:
        words = told("; ".join(_metadata_texts(body, "messages")), redact)
        return f": {words}" if words else ""
    return ""


def told(value: Any, redact: Clean, limit: int = 300) -> str:
    """Return a text of Slack's fit for a message: secrets masked, then cut; "" for no text."""
    return clean_text(redact(value), limit) if isinstance(value, str) else ""


def _metadata_texts(body: Mapping[str, Any], name: str) -> list[str]:
    """Return the strings of a list in response_metadata."""
    return as_texts(object_in(body, "response_metadata").get(name))


def next_cursor(body: Mapping[str, Any]) -> str:
    """Return where the next page begins; "" after the last one."""
    return text_at(body, "response_metadata", "next_cursor").strip()


def warnings_in(body: Mapping[str, Any], redact: Clean) -> list[str]:
    """Return what Slack warns of in a reply that is otherwise well, each warning once."""
    words = text_in(body, "warning").split(",")
    found = (told(word, redact, 200) for word in [*words, *_metadata_texts(body, "warnings")])
    return list(dict.fromkeys(word for word in found if word))[:MAX_WARNINGS]


def sent_at(ts: str) -> str:
    """Turn a message's timestamp into a time, microseconds kept digit by digit."""
    match = TIMESTAMP.fullmatch(ts)
    if match is None:
        return ZERO_TIME
    seconds, micros = match.groups()
    return f"{from_epoch(int(seconds)).removesuffix('Z')}.{micros}Z"


def result_of(body: Mapping[str, Any], *, asked: str, source: str, warnings: list[str]) -> Json:
    """Make the MessageResult of a reply to chat.postMessage, without ``url``.

    Args:
        body: The decoded reply, ``ok`` true.
        asked: The channel as the caller named it.
        source: Value of ``metadata.source``.
        warnings: Warnings of both sides.

    Raises:
        ProviderError: It has no timestamp; the message is sent all the same.
    """
    ts = text_in(body, "ts")
    if not ts:
        # Unknown, so that nobody takes the error for a reason to send once more.
        raise ProviderError(
            f"Slack chat.postMessage: sent, but the reply had no timestamp (channel"
            f" {clean_text(asked, 100)})",
            outcome_unknown=True,
        )
    message = object_in(body, "message")
    return {
        "id": ts,
        "channel": text_in(body, "channel") or asked,
        "sentAt": sent_at(ts),
        "metadata": without_empty(
            {
                "source": source,
                "requested_channel": asked,
                "thread_ts": text_in(message, "thread_ts"),
                "bot_id": text_in(message, "bot_id"),
                "warnings": warnings,
            }
        ),
    }

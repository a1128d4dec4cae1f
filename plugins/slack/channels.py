"""Where a message goes: the forms in which a channel may be given, and what Slack calls it."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from opsorch.errors import BadRequest, OpsOrchError
from opsorch.observability.redact import clean_text
from opsorch.plugin import Call
from opsorch.plugin.memory import Memory
from opsorch.plugin.vendor import as_objects, text_in
from opsorch_plugins.slack.client import SlackClient
from opsorch_plugins.slack.mapping import MissingScope, next_cursor

log = logging.getLogger("opsorch.plugin")

CACHE_S: Final = 600.0
MAX_CACHED: Final = 10_000
# conversations.list takes about 20 calls a minute
# (docs.slack.dev/reference/methods/conversations.list, rate limit "Tier 2").
MAX_PAGES: Final = 20
_ALL_TYPES: Final = "public_channel,private_channel"
_PUBLIC_TYPES: Final = "public_channel"
# The message itself keeps at least this share of the time.
_LOOK_UP_SHARE: Final = 0.5

# Forms of ids and references: docs.slack.dev/messaging/formatting-message-text, "Mentioning".
_REFERENCE = re.compile(r"<#([A-Z0-9]+)(?:\|[^>]*)?>|<@([A-Z0-9]+)(?:\|[^>]*)?>", re.ASCII)
_LINK = re.compile(
    r"https?://[\w.-]+\.slack(?:-gov)?\.com/archives/([CGD][A-Z0-9]+)(?:[/?#].*)?", re.ASCII
)
_ID = re.compile(r"[CGDUW][A-Z0-9]{8,}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """A channel as it was given: an id, or a name or email address to look up."""

    kind: Literal["id", "name", "email"]
    value: str


def target_of(channel: str) -> Target:
    """Tell which form a channel has.

    Raises:
        BadRequest: It is empty, or a handle.
    """
    if not channel:
        raise BadRequest("channel is required")
    if match := _REFERENCE.fullmatch(channel):
        return Target("id", match[1] or match[2])
    if match := _LINK.fullmatch(channel):
        return Target("id", match[1])
    if _ID.fullmatch(channel):
        return Target("id", channel)
    before, _, after = channel.partition("@")
    if before and after.strip("@"):
        return Target("email", channel)
    if channel.startswith("@"):
        shown = clean_text(channel, 60)
        raise BadRequest(
            f"channel: {shown} is a handle, which Slack does not address; use an email address"
            " or a user id"
        )
    name = channel.removeprefix("#").strip().lower()
    if not name:
        raise BadRequest("channel is required")
    return Target("name", name)


class Channels:
    """Turns targets into what chat.postMessage takes. Thread-safe.

    Ids of names and addresses are kept for ten minutes.
    """

    def __init__(self, client: SlackClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._known = Memory[Target, str](CACHE_S, MAX_CACHED, clock=clock)

    def address_of(self, target: Target, call: Call) -> str:
        """Return the id to post to, or ``#name`` where none is found.

        Blocks for up to half of the call's time.

        Raises:
            OpsOrchError: An email address cannot be looked up.
        """
        if target.kind == "id":
            return target.value
        known = self._known.get(target)
        if known:
            return known
        part = call.within_share(_LOOK_UP_SHARE)
        if target.kind == "email":
            found = self._client.user_of_email(target.value, part)
            self._known.put(target, found)
            return found
        return self._id_of_name(target, part) or f"#{target.value}"

    def forget(self, target: Target) -> None:
        """Drop what is kept of a target: Slack does not know the id any more."""
        self._known.forget(target)

    def _id_of_name(self, target: Target, call: Call) -> str:
        """Look a channel up; "" where it is not found, or the look-up fails.

        Posting is what counts, and Slack knows many names by itself: it decides.
        """
        for types in (_ALL_TYPES, _PUBLIC_TYPES):
            try:
                return self._listed(target, types, call)
            except MissingScope as missing:
                log.info("channel names: %s", missing.message)
            except OpsOrchError as failed:
                log.warning("the channel's name goes to Slack as it is: %s", failed.message)
                return ""
        return ""

    def _listed(self, target: Target, types: str, call: Call) -> str:
        for found in self._pages(types, call):
            for each, channel_id in found.items():
                self._known.put(each, channel_id)
            if target in found:
                return found[target]
        return ""

    def _pages(self, types: str, call: Call) -> Iterator[dict[Target, str]]:
        cursor = ""
        for _ in range(MAX_PAGES):
            body = self._client.channels_page(types, cursor, call)
            yield _names_in(body.get("channels"))
            cursor = next_cursor(body)
            if not cursor:
                return
        log.warning("the channel is not among the first %d pages of the list", MAX_PAGES)


def _names_in(channels: Any) -> dict[Target, str]:
    """Return the ids of a page's channels by both of their names; the first of a name counts."""
    found: dict[Target, str] = {}
    for channel in as_objects(channels):
        channel_id = channel.get("id")
        if not isinstance(channel_id, str):
            continue
        for name in (text_in(channel, "name"), text_in(channel, "name_normalized")):
            if name:
                found.setdefault(Target("name", name), channel_id)
    return found

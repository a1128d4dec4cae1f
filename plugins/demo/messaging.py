"""Messages, which are stored and not delivered, and their provider."""

import threading
from typing import Any, Final

from sqlalchemy import func, insert, select

from opsorch.errors import BadRequest, NotFound, RateLimited, UpstreamTimeout
from opsorch.plugin import Call, Check, rpc
from opsorch.plugin.payload import object_of, objects_of, required_text, text_of
from opsorch.plugin.times import format_time
from opsorch.runbooks.tables import micros
from opsorch_plugins.demo.base import DemoProvider, View
from opsorch_plugins.demo.incidents import append_entry, known_incident
from opsorch_plugins.demo.matching import Json
from opsorch_plugins.demo.numbering import next_number
from opsorch_plugins.demo.shapes import actor_of, stamped, url_of
from opsorch_plugins.demo.tables import messages

PREVIEW_CHARS: Final = 80
SLOW_S: Final = 2.0
THROTTLED_RETRY_S: Final = 30.0

# Channels that show what a client does with a failure.
MISSING, THROTTLED, SLOW = "#demo-missing", "#demo-throttled", "#demo-slow"


class DemoMessaging(DemoProvider):
    """Messaging of the demo world."""

    capability = "messaging"

    @rpc("messaging.send")
    def send(self, payload: Json, call: Call) -> Json:
        """Store a message; one that names an incident adds an entry to its timeline."""
        message = _message(payload)
        self._behave(message["channel"], call)
        with self.writing(call) as view:
            _check_thread(view, message["thread_ref"])
            incident_id = text_of(message["metadata"], "incidentId", where="metadata.").strip()
            if incident_id:
                known_incident(view.connection, incident_id)
            message_id = f"msg-{next_number(view.connection, 'message'):04}"
            row = {**message, "id": message_id, "sent_us": micros(view.world.now)}
            view.connection.execute(insert(messages), [row])
            if incident_id:
                body = f"Message to {message['channel']}: {preview_of(message)}"
                append_entry(
                    view,
                    incident_id,
                    kind="message",
                    body=body,
                    actor=actor_of(call.actor),
                    metadata={"messageId": message_id, "channel": message["channel"]},
                )
            return _result_of(row, view)

    def check(self, call: Call) -> list[Check]:
        with self.reading(call) as view:
            count = view.connection.scalar(select(func.count()).select_from(messages))
            return [Check("demo database", ok=True, message=f"{count} messages")]

    def _behave(self, channel: str, call: Call) -> None:
        """Fail or wait as the channels for demonstrations do; nothing is stored before it."""
        if channel == MISSING:
            raise NotFound(f"channel {channel} not found")
        if channel == THROTTLED:
            raise RateLimited(
                f"channel {channel} takes no more messages for now",
                retry_after_s=THROTTLED_RETRY_S,
            )
        if channel == SLOW and not self._waited(SLOW_S, call):
            raise UpstreamTimeout(f"channel {channel} answers after {SLOW_S:g} s; nothing was sent")

    def wait(self, seconds: float) -> None:
        """Let time pass, as a slow vendor would; a test replaces it."""
        threading.Event().wait(seconds)

    def _waited(self, seconds: float, call: Call) -> bool:
        """Wait, within the budget of the call; tell whether there was time enough."""
        left_s = call.deadline.remaining()
        self.wait(min(seconds, left_s))
        return left_s >= seconds


def channel_type(channel: str) -> str:
    """Return what kind of channel a name stands for."""
    if channel.startswith("#"):
        return "chat"
    if channel.startswith("sms:"):
        return "sms"
    return "email" if "@" in channel else "generic"


def preview_of(message: Json) -> str:
    """Return the begin of what a message says; of its blocks where it has no body."""
    texts = [str(block.get("text") or "") for block in message["blocks"]]
    return (message["body"] or " ".join(filter(None, texts)))[:PREVIEW_CHARS]


def _message(payload: Json) -> dict[str, Any]:
    """Return the columns of a message, checked."""
    body, blocks = text_of(payload, "body"), objects_of(payload, "blocks")
    if not body.strip() and not blocks:
        raise BadRequest("body or blocks is required")
    return {
        "channel": required_text(payload, "channel"),
        "body": body,
        "blocks": blocks,
        "thread_ref": text_of(payload, "threadRef").strip(),
        "metadata": object_of(payload, "metadata"),
    }


def _check_thread(view: View, thread_ref: str) -> None:
    if not thread_ref:
        return
    found = view.connection.execute(select(messages.c.id).where(messages.c.id == thread_ref))
    if found.first() is None:
        raise NotFound(f"threadRef: message {thread_ref} not found")


def _result_of(row: Json, view: View) -> Json:
    thread = {"threadRef": row["thread_ref"]} if row["thread_ref"] else {}
    metadata = {
        **row["metadata"],
        **thread,
        "channelType": channel_type(row["channel"]),
        "preview": preview_of(row),
    }
    return {
        "id": row["id"],
        "channel": row["channel"],
        "sentAt": format_time(view.world.now),
        "url": url_of("messaging", row["id"]),
        "metadata": stamped(metadata, view.world),
    }

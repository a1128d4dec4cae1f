"""Messaging: messages to chats, phones and mailboxes."""

from typing import Any

import marshmallow

from opsorch.capabilities import fields as f
from opsorch.capabilities.results import one
from opsorch.capabilities.spec import WRITE, Capability, Operation

MessageBlock = f.shape(
    "MessageBlock",
    type=f.one_of("header", "section", "divider"),
    text=f.Text(),
    fields=f.TextMap(),
)


class Message(f.Shape):
    """A message; one of body and blocks must be there."""

    channel = f.needed(help="Where to send it.")
    body = f.Text(help="Text of the message.")
    threadRef = f.Text(help="Id of the message that this one answers.")
    blocks = f.Many(MessageBlock)
    metadata = f.Bag()

    @marshmallow.validates_schema
    def _has_content(self, data: dict[str, Any], **_: Any) -> None:
        if not data.get("body", "").strip() and not data.get("blocks"):
            raise marshmallow.ValidationError("or blocks must be given", field_name="body")


MessageResult = f.shape(
    "MessageResult",
    id=f.Text(always=True),
    channel=f.Text(always=True),
    sentAt=f.Time(always=True),
    url=f.Text(),
    metadata=f.Bag(),
)

CAPABILITY = Capability(
    name="messaging",
    plural="messages",
    aliases=("message",),
    summary="Messages to chats, phones and mailboxes.",
    operations=(
        Operation(
            "messaging.send",
            "POST",
            "/messages/send",
            body=Message,
            result=one(MessageResult),
            kind=WRITE,
            audit="message.sent",
            summary="Send a message.",
        ),
    ),
)

"""Messages, sent to Slack."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from opsorch.errors import OpsOrchError
from opsorch.plugin import Call, Check, Provider, rpc
from opsorch.plugin.payload import Json, text_of
from opsorch_plugins.slack.blocks import formats
from opsorch_plugins.slack.channels import Channels, target_of
from opsorch_plugins.slack.client import SlackClient
from opsorch_plugins.slack.mapping import ChannelNotFound, result_of, told, warnings_in
from opsorch_plugins.slack.message import prepared
from opsorch_plugins.slack.settings import CONFIG

log = logging.getLogger("opsorch.plugin")

# Needed, and what each of the others is for.
# Source: docs.slack.dev/reference/scopes, and the methods' own pages.
REQUIRED_SCOPE: Final = "chat:write"
OPTIONAL_SCOPES: Final[Mapping[str, str]] = {
    "channels:read": "names of public channels",
    "groups:read": "names of private channels",
    "users:read.email": "messages to email addresses",
    "chat:write.public": "public channels that the app has not joined",
    "chat:write.customize": "name and icon of a message",
}


class SlackMessaging(Provider):
    """Messaging through a bot of a Slack workspace."""

    name = "slack"
    capability = "messaging"
    config = CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        if not self.settings["token"].reveal().startswith("xox"):
            log.warning("slack config: field token does not look like a token of Slack (xox...)")
        self.client = SlackClient(self.settings, self.redact)
        self.channels = Channels(self.client)
        self._formats = formats(allow_broadcast=self.settings["allowBroadcast"])

    @rpc("messaging.send")
    def send(self, payload: Json, call: Call) -> Json:
        """Post a message, exactly once; everything else about it is optional.

        Raises:
            OpsOrchError: It was not posted; ``outcome_unknown`` where it may have been.
        """
        asked = text_of(payload, "channel").strip()
        asked = asked or self.settings["defaultChannel"] or ""
        message = prepared(payload, self._formats)
        reply = self._post(asked, message.body, call)
        warnings = [*warnings_in(reply, self.redact), *message.warnings]
        result = result_of(reply, asked=asked, source=self.settings["source"], warnings=warnings)
        link = self._link(result["channel"], result["id"], call)
        return {**result, "url": link} if link else result

    def check(self, call: Call) -> list[Check]:
        body, scopes = self.client.whoami(call)
        bot = told(body.get("user"), self.redact, 80) or "the bot"
        team = told(body.get("team"), self.redact, 80) or "its workspace"
        found = [Check("token", ok=True, message=f"{bot} in {team}")]
        if scopes is None:
            return found
        ok = REQUIRED_SCOPE in scopes
        lacking = "" if ok else f"grant the app the scope {REQUIRED_SCOPE}"
        missing = [f"{s} ({use})" for s, use in OPTIONAL_SCOPES.items() if s not in scopes]
        optional = f"not granted: {', '.join(missing)}" if missing else ""
        return [
            *found,
            Check(f"scope {REQUIRED_SCOPE}", ok=ok, message=lacking),
            Check("optional scopes", ok=True, message=optional),
        ]

    def _post(self, asked: str, body: Json, call: Call) -> Json:
        target = target_of(asked)
        if target.kind == "name" and not self.settings["resolveChannels"]:
            return self.client.post_message({"channel": asked, **body}, call)
        channel = self.channels.address_of(target, call)
        try:
            return self.client.post_message({"channel": channel, **body}, call)
        except ChannelNotFound:
            self.channels.forget(target)
            raise

    def _link(self, channel: str, ts: str, call: Call) -> str:
        """Return the message's link; "" where there is none: the message is out already."""
        if not self.settings["permalinks"]:
            return ""
        try:
            return self.client.permalink(channel, ts, call)
        except OpsOrchError as failed:
            log.info("no link of the message: %s", failed.message)
            return ""

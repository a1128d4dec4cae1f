"""The configuration of the Slack provider."""

import dataclasses
import re
from typing import Any, Final

from opsorch.plugin.config import TIMEOUT, ConfigSpec, Field, Kind, Unfit, boolean, number, url

DEFAULT_API_URL: Final = "https://slack.com/api"
_TOKEN = re.compile(r"[\x21-\x7e]+")


def _bot_token() -> Kind:
    """Take a token; the webhook URL that people paste instead is refused by name."""

    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise Unfit("must be a string")
        stripped = value.strip()
        if stripped.lower().startswith("http"):
            raise Unfit("is a webhook URL, a bot token is needed")
        if not _TOKEN.fullmatch(stripped):
            raise Unfit("must be one word of printable ASCII characters")
        return stripped

    return Kind(parse, {"type": "string"})


CONFIG: Final = ConfigSpec(
    "slack",
    (
        Field(
            "token",
            _bot_token(),
            required=True,
            secret=True,
            aliases=("botToken", "apiToken", "accessToken"),
            help="Bot token (xoxb-...).",
        ),
        Field(
            "apiURL",
            url(),
            default=DEFAULT_API_URL,
            aliases=("apiUrl", "baseURL", "baseUrl"),
            help="Root of the Web API; GovSlack has another one.",
        ),
        Field("defaultChannel", help="Channel of messages that name none."),
        Field("resolveChannels", boolean(), default=True, help="Turn channel names into ids."),
        Field(
            "allowBroadcast",
            boolean(),
            default=False,
            help="Let mentions of here, channel and everyone through.",
        ),
        Field("permalinks", boolean(), default=True, help="Ask for the link of each message."),
        Field("source", default="slack", help="Told as `metadata.source` of results."),
        dataclasses.replace(TIMEOUT, kind=number(1, 300)),
    ),
)

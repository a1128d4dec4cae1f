"""The configuration of the Slack provider."""

import dataclasses
from typing import Any, Final

from opsorch.plugin.config import (
    TIMEOUT,
    ConfigSpec,
    Field,
    Kind,
    Unfit,
    boolean,
    number,
    url,
    visible_ascii,
)

DEFAULT_API_URL: Final = "https://slack.com/api"


def _bot_token() -> Kind:
    """Take a token; the webhook URL that people paste instead is refused by name."""
    word = visible_ascii()

    def parse(value: Any) -> str:
        if isinstance(value, str) and value.strip().lower().startswith("http"):
            raise Unfit("is a webhook URL, a bot token is needed")
        token: str = word.parse(value)
        return token

    return Kind(parse, word.schema)


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

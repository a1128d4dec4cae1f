"""The configuration of both providers. One object may be given to both."""

import dataclasses
from typing import Any, Final

from opsorch.plugin.config import (
    TIMEOUT,
    ConfigSpec,
    Field,
    Kind,
    Unfit,
    choice,
    email,
    number,
    text,
    url,
    visible_ascii,
)
from opsorch_plugins.pagerduty.mapping import SEVERITIES, SEVERITY_IN

Settings = dict[str, Any]

US_API: Final = "https://api.pagerduty.com"


def _severity() -> Kind:
    """Take a severity by any of the words that an input may use. Yields the normalized one."""

    def parse(value: Any) -> str:
        known = SEVERITY_IN.get(value.strip().casefold()) if isinstance(value, str) else None
        if known is None:
            raise Unfit(f"must be one of: {', '.join(SEVERITIES)}")
        return known.severity

    return Kind(parse, {"type": "string", "enum": sorted(SEVERITY_IN)})


# The other capability's field: known, so that nobody is warned of it, and not looked at.
_IGNORED: Final = Kind(lambda value: None, {})

_TOKEN = Field(
    "apiToken",
    visible_ascii(),
    required=True,
    aliases=("apiKey", "api_token", "token"),
    secret=True,
    help="REST API key, or OAuth access token with authScheme bearer.",
)
_SERVICE = Field(
    "serviceID",
    text(r"[A-Za-z0-9]+", "must be letters and digits"),
    required=True,
    aliases=("serviceId", "service_id"),
    help="Service on which incidents are created that name no other.",
)
_FROM = Field(
    "fromEmail",
    email(),
    required=True,
    aliases=("from_email", "from"),
    help="Login email of the user in whose name incidents are written.",
)
_URL = Field(
    "apiURL",
    url(),
    default=US_API,
    aliases=("apiUrl", "api_url", "baseURL", "baseUrl"),
    help="Base URL of the REST API; https://api.eu.pagerduty.com for EU accounts.",
)
_DEFAULT_SEVERITY = Field(
    "defaultSeverity",
    _severity(),
    default="critical",
    help="Severity of a created incident that names none.",
)
_SOURCE = Field("source", default="pagerduty", help="Value of metadata.source in results.")
_SEVERITY_FROM = Field(
    "severityFrom",
    choice("priority", "urgency"),
    default="priority",
    help="What the severity of an incident is read from; without a known priority, its urgency.",
)
_SCHEME = Field(
    "authScheme",
    choice("token", "bearer"),
    default="token",
    help="How apiToken is sent: token for an API key, bearer for scoped OAuth.",
)
_TIMEOUT = dataclasses.replace(TIMEOUT, kind=number(1, 300))


def _ignored(field: Field) -> Field:
    return Field(field.name, _IGNORED, aliases=field.aliases, help="For incidents only.")


INCIDENT_CONFIG: Final = ConfigSpec(
    "pagerduty",
    (
        _TOKEN,
        _SERVICE,
        _FROM,
        _URL,
        _DEFAULT_SEVERITY,
        _SOURCE,
        _SEVERITY_FROM,
        _SCHEME,
        _TIMEOUT,
    ),
)
SERVICE_CONFIG: Final = ConfigSpec(
    "pagerduty",
    (
        _TOKEN,
        _ignored(_SERVICE),
        _ignored(_FROM),
        _URL,
        _ignored(_DEFAULT_SEVERITY),
        _SOURCE,
        _ignored(_SEVERITY_FROM),
        _SCHEME,
        _TIMEOUT,
    ),
)

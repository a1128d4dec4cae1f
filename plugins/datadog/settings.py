"""The configuration of all five providers. One object may be given to each."""

import re
from collections.abc import Mapping
from typing import Any, Final

from opsorch.plugin.config import (
    LOOKBACK,
    TIMEOUT,
    ConfigSpec,
    Field,
    Kind,
    choice,
    integer,
    string_list,
    string_map,
    text,
    url,
    visible_ascii,
)
from opsorch.plugin.connection import CONNECTION_FIELDS, CONNECTION_RULES
from opsorch_plugins.datadog.sites import DEFAULT_SITE, api_of, app_of, site

Settings = Mapping[str, Any]

# Source: https://docs.datadoghq.com/getting_started/tagging/#define-tags
TAG_KEY: Final = r"[A-Za-z][A-Za-z0-9_\-./]{0,199}"
TAG_KEYS: Final[Mapping[str, str]] = {"service": "service", "team": "team", "environment": "env"}
INCIDENT_FIELDS: Final[Mapping[str, str]] = {
    "status": "state",
    "severity": "severity",
    "service": "services",
    "team": "teams",
    "environment": "environment",
    "description": "summary",
}
SEVERITIES: Final = ("critical", "high", "medium", "low", "info")
_WEEK_S: Final = 7 * 24 * 3600


def _key(name: str, *aliases: str, what: str) -> Field:
    return Field(name, visible_ascii(), required=True, aliases=aliases, secret=True, help=what)


def _tag_keys() -> Kind:
    return string_map(tuple(TAG_KEYS), text(TAG_KEY, "must be a tag key"))


def _incident_fields() -> Kind:
    name = text(r"[A-Za-z][A-Za-z0-9_\-. ]{0,99}", "must be the name of an incident property")
    return string_map(tuple(INCIDENT_FIELDS), name)


def _severity_map() -> Kind:
    # The value stands in search queries, so that nothing of their syntax may be in it.
    value = text(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", "must be a severity as Datadog names it")
    return string_map(SEVERITIES, value)


FIELDS: Final = (
    _key("apiKey", "api_key", "DD_API_KEY", what="API key of the organisation."),
    _key(
        "appKey",
        "applicationKey",
        "app_key",
        "DD_APP_KEY",
        what="Application key with the scopes that the capability needs.",
    ),
    Field(
        "site",
        site(),
        default=DEFAULT_SITE,
        aliases=("DD_SITE",),
        help="Site of the organisation: its parameter, short name (us1, eu, ...) or URL.",
    ),
    Field(
        "apiURL",
        url(),
        aliases=("apiUrl", "baseURL"),
        help="Base URL of the API behind a proxy; default: that of the site.",
    ),
    Field(
        "appURL",
        url(),
        aliases=("appUrl",),
        help="Base URL of links, for a custom subdomain; default: that of the site.",
    ),
    Field("source", default="datadog", help="Value of metadata.source in results."),
    Field(
        "tagKeys",
        _tag_keys(),
        default={},
        help="Tag keys of service, team and environment; default: service, team, env.",
    ),
    Field("logIndexes", string_list(), default=[], help="Log indexes to search; default: all."),
    Field(
        "logStorageTier",
        choice("indexes", "flex", "online-archives"),
        default="indexes",
        help="Where logs are searched.",
    ),
    Field(
        "searchMode",
        choice("simple", "raw"),
        default="simple",
        help="How expression.search is read: words and AND, OR, NOT, or Datadog's log syntax.",
    ),
    Field(
        "defaultLimit",
        integer(1, 10_000),
        default=100,
        help="Results of a log or incident query that names no limit.",
    ),
    Field("maxResults", integer(1, 100_000), default=10_000, help="Results of a query at most."),
    LOOKBACK,
    Field(
        "describeWindowSeconds",
        integer(60, 4 * _WEEK_S),
        default=3600,
        help="A metric is listed where it had points within this time.",
    ),
    Field(
        "incidentTypeUUID",
        text(r"[0-9a-fA-F-]{36}", "must be a UUID"),
        aliases=("incidentType",),
        help="Type of created incidents; default: that of the organisation.",
    ),
    Field(
        "incidentFields",
        _incident_fields(),
        default={},
        help="Datadog's names of the properties status, severity, service, team, environment and"
        " description.",
    ),
    Field(
        "incidentSeverityMap",
        _severity_map(),
        default={},
        help="Datadog's severity of critical, high, medium, low and info.",
    ),
    Field(
        "timelineMode",
        choice("auto", "timeline", "todos"),
        default="auto",
        help="Where timeline entries are: cells, follow-ups, or cells where the API has them.",
    ),
    Field(
        "serviceSource",
        choice("definitions", "catalog"),
        default="definitions",
        help="Where services come from: service definitions, or the software catalog.",
    ),
    *CONNECTION_FIELDS,
    TIMEOUT,
)

CONFIG: Final = ConfigSpec("datadog", FIELDS, CONNECTION_RULES)


def api_url(settings: Settings) -> str:
    """Return the base URL of the API."""
    return settings["apiURL"] or api_of(settings["site"])


def app_url(settings: Settings) -> str:
    """Return the base URL of links that people open."""
    return settings["appURL"] or app_of(settings["site"])


def tag_keys(settings: Settings) -> dict[str, str]:
    """Return the tag key of service, team and environment."""
    return {**TAG_KEYS, **settings["tagKeys"]}


def incident_fields(settings: Settings) -> dict[str, str]:
    """Return the name of the property of each concept."""
    return {**INCIDENT_FIELDS, **settings["incidentFields"]}


def is_tag_key(name: str) -> bool:
    """Tell whether a text is a tag key."""
    return re.fullmatch(TAG_KEY, name) is not None

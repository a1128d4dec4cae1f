"""The configuration of both providers. One object that holds both URLs may be given to both."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.config import (
    LOOKBACK,
    TIMEOUT,
    ConfigSpec,
    Field,
    Kind,
    Unfit,
    boolean,
    choice,
    integer,
    string_map,
    text,
    url,
    visible_ascii,
)
from opsorch.plugin.connection import (
    BASIC_AUTH_FIELDS,
    CONNECTION_FIELDS,
    CONNECTION_RULES,
    paired_credentials,
    readable_file,
    without_userinfo,
)
from opsorch_plugins.prometheus.promql import CLASSIC_LABEL, Matcher, matcher_of

DEFAULT_LABELS: Final[Mapping[str, str]] = {
    "service": "service",
    "team": "team",
    "environment": "env",
}
_SERVER_URL = url(userinfo=True)


def _server_urls() -> Kind:
    """Take one URL, or a list of them: the members of one cluster. Yields a list."""

    def parse(value: Any) -> list[str]:
        given = value if isinstance(value, list) else [value]
        if not given:
            raise Unfit("must be an absolute http(s) URL or a list of them")
        return [_SERVER_URL.parse(entry) for entry in given]

    one = dict(_SERVER_URL.schema)
    return Kind(parse, {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})


def _matchers() -> Kind:
    """Take a list of {label, operator, value}; yields Matchers."""
    fault = "must be a list of objects of label, operator and value"

    def parse(value: Any) -> list[Matcher]:
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise Unfit(fault)
        if any(set(entry) - {"label", "operator", "value"} for entry in value):
            raise Unfit(fault)
        try:
            return [matcher_of(entry, f".{i}") for i, entry in enumerate(value)]
        except BadRequest as refused:
            # Only the name of the part: a configuration fault never repeats a value.
            part = refused.message.split(maxsplit=1)[0].rstrip(":")
            raise Unfit(f"{part} does not fit") from refused

    names = {name: {"type": "string"} for name in ("label", "operator", "value")}
    item = {"type": "object", "properties": names, "required": ["label", "value"]}
    return Kind(parse, {"type": "array", "items": item})


# Of the other vendors' names for caFile, Prometheus' users have only the one.
_CONNECTION = tuple(
    dataclasses.replace(field, aliases=("tlsCAFile",)) if field.name == "caFile" else field
    for field in CONNECTION_FIELDS
)
_LABEL_NAME = text(CLASSIC_LABEL.pattern, "must be a label name")

_URL = Field(
    "url",
    _SERVER_URL,
    aliases=("prometheusURL", "prometheusUrl", "baseURL", "baseUrl", "address"),
    help="Prometheus, or what speaks its API; a path prefix is allowed (`/prometheus` for Mimir).",
)
_ALERTMANAGER_URL = Field(
    "alertmanagerURL",
    _server_urls(),
    aliases=("alertmanagerUrl", "alertManagerURL", "alertmanager_url"),
    help="Alertmanager; a list names the members of one cluster, tried in turn.",
)
_SHARED = (
    *BASIC_AUTH_FIELDS,
    Field(
        "bearerToken",
        visible_ascii(),
        aliases=("token", "apiToken"),
        secret=True,
        help="Sent as `Authorization: Bearer`.",
    ),
    Field(
        "bearerTokenFile",
        readable_file(),
        aliases=("tokenFile",),
        help="File with the bearer token, read again for every request.",
    ),
    Field(
        "tenant",
        visible_ascii(),
        aliases=("orgID", "tenantID"),
        help="Sent as `X-Scope-OrgID`; `a|b` names several Mimir tenants.",
    ),
    *_CONNECTION,
    TIMEOUT,
    Field(
        "httpMethod",
        choice("GET", "POST"),
        default="GET",
        help="How queries are sent; long ones go by POST anyway.",
    ),
    Field(
        "labels",
        string_map(tuple(DEFAULT_LABELS), _LABEL_NAME),
        default={},
        aliases=("labelMap",),
        help="Label names of `service`, `team` and `environment`"
        " where they differ from `service`, `team`, `env`.",
    ),
    Field("severityLabel", _LABEL_NAME, default="severity", help="Label that holds the severity."),
    Field(
        "severityMap",
        string_map(),
        default={},
        help="Severity to show for a label's value; values not named are shown as they are.",
    ),
    Field(
        "externalURL",
        url(),
        aliases=("publicURL",),
        help="Prometheus as people reach it, for links; default: url.",
    ),
    Field(
        "alertmanagerExternalURL",
        url(),
        help="Alertmanager as people reach it, for links; default: the first alertmanagerURL.",
    ),
    Field(
        "graphPath",
        text(r"/[^\s?#\x00-\x1f]*", "must be a path that begins with /"),
        default="/graph",
        help="Path of the graph page in links.",
    ),
    Field("allowRawQuery", boolean(), default=True, help="Allow PromQL in `metadata.query`."),
    Field(
        "enforcedMatchers",
        _matchers(),
        default=[],
        help="Matchers `{label, operator, value}` added to every selector;"
        " raw queries are refused then.",
    ),
    LOOKBACK,
    Field("maxSeries", integer(1, 1_000_000), default=5000, help="Series kept of a query."),
    Field(
        "describeLabelLimit",
        integer(0, 10_000),
        default=100,
        help="Describe lists labels only where it finds at most this many metrics.",
    ),
)

Settings = Mapping[str, Any]


def _one_credential(settings: Settings) -> str | None:
    names = ("bearerToken", "bearerTokenFile", "username")
    given = [name for name in names if settings[name]]
    return f"{given[0]} and {given[1]} exclude each other" if len(given) > 1 else None


_RULES = (paired_credentials, _one_credential, *CONNECTION_RULES)

METRIC_CONFIG: Final = ConfigSpec(
    "prometheus",
    (dataclasses.replace(_URL, required=True), _ALERTMANAGER_URL, *_SHARED),
    _RULES,
)
ALERT_CONFIG: Final = ConfigSpec(
    "prometheus",
    (dataclasses.replace(_ALERTMANAGER_URL, required=True), _URL, *_SHARED),
    _RULES,
)


def label_names(settings: Settings) -> dict[str, str]:
    """Return the label that stands for each part of a scope."""
    return {**DEFAULT_LABELS, **settings["labels"]}


def passwords_in_urls(settings: Settings) -> list[str]:
    """Return the decoded passwords in the configured URLs, which messages must not hold either."""
    addresses = [settings["url"] or "", *(settings["alertmanagerURL"] or [])]
    found = [without_userinfo(address)[1] for address in addresses]
    return [pair[1] for pair in found if pair and pair[1]]

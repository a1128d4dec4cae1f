"""The configuration of both providers. One object that holds both URLs may be given to both."""

import dataclasses
import os
import re
import ssl
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.observability.redact import Secret
from opsorch.plugin.config import (
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
)
from opsorch_plugins.prometheus.promql import CLASSIC_LABEL, Matcher, matcher_of

DEFAULT_LABELS: Final[Mapping[str, str]] = {
    "service": "service",
    "team": "team",
    "environment": "env",
}
_YEAR_S: Final = 366 * 24 * 3600
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\x80-\xff]*")
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


def _readable_file() -> Kind:
    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise Unfit("must be a string")
        path = value.strip()
        if not os.path.isfile(path) or not os.access(path, os.R_OK):
            raise Unfit("cannot be read")
        return path

    return Kind(parse, {"type": "string"})


def _header_map() -> Kind:
    """Take an object of strings that can be sent as headers; the values become Secrets."""

    def parse(value: Any) -> dict[str, Secret]:
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise Unfit("must be an object of strings")
        if not all(_HEADER_NAME.fullmatch(name) for name in value):
            raise Unfit("has a key that is no header name")
        for name, text_ in value.items():
            if not _HEADER_VALUE.fullmatch(text_.strip()):
                raise Unfit(f".{name} cannot be sent as a header")
        return {name: Secret(text_.strip()) for name, text_ in value.items()}

    return Kind(parse, {"type": "object", "additionalProperties": {"type": "string"}})


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


_VISIBLE = r"[\x21-\x7e]+"
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
    Field("username", aliases=("user",), help="User of basic auth; needs password."),
    Field("password", secret=True, help="Password of basic auth; needs username."),
    Field(
        "bearerToken",
        text(_VISIBLE, "must be visible ASCII without blanks"),
        aliases=("token", "apiToken"),
        secret=True,
        help="Sent as `Authorization: Bearer`.",
    ),
    Field(
        "bearerTokenFile",
        _readable_file(),
        aliases=("tokenFile",),
        help="File with the bearer token, read again for every request.",
    ),
    Field(
        "tenant",
        text(_VISIBLE, "must be visible ASCII without blanks"),
        aliases=("orgID", "tenantID"),
        help="Sent as `X-Scope-OrgID`; `a|b` names several Mimir tenants.",
    ),
    Field(
        "headers",
        _header_map(),
        default={},
        aliases=("httpHeaders",),
        secret=True,
        help="Headers added to every request.",
    ),
    Field("caFile", _readable_file(), aliases=("tlsCAFile",), help="CA certificates, PEM."),
    Field("certFile", _readable_file(), aliases=("tlsCertFile",), help="Client certificate, PEM."),
    Field(
        "keyFile",
        _readable_file(),
        aliases=("tlsKeyFile",),
        help="Its key, PEM, not encrypted; left out when certFile holds it too.",
    ),
    Field(
        "insecureSkipVerify",
        boolean(),
        default=False,
        aliases=("tlsSkipVerify",),
        help="Accept any certificate.",
    ),
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
    Field(
        "defaultLookbackSeconds",
        integer(1, _YEAR_S),
        default=3600,
        help="Length of a query that names no start.",
    ),
    Field("maxSeries", integer(1, 1_000_000), default=5000, help="Series kept of a query."),
    Field(
        "describeLabelLimit",
        integer(0, 10_000),
        default=100,
        help="Describe lists labels only where it finds at most this many metrics.",
    ),
)

Settings = Mapping[str, Any]


def _paired_credentials(settings: Settings) -> str | None:
    if bool(settings["username"]) != bool(settings["password"]):
        return "username and password must be given together"
    return None


def _one_credential(settings: Settings) -> str | None:
    names = ("bearerToken", "bearerTokenFile", "username")
    given = [name for name in names if settings[name]]
    return f"{given[0]} and {given[1]} exclude each other" if len(given) > 1 else None


def _usable_ca(settings: Settings) -> str | None:
    if not settings["caFile"]:
        return None
    try:
        ssl.create_default_context(cafile=settings["caFile"])
    except (ssl.SSLError, OSError):
        return "field caFile must hold PEM certificates"
    return None


def _usable_certificate(settings: Settings) -> str | None:
    if settings["keyFile"] and not settings["certFile"]:
        return "keyFile needs certFile"
    if not settings["certFile"]:
        return None
    try:
        # An encrypted key would have OpenSSL ask the terminal; the blank password fails instead.
        ssl.create_default_context().load_cert_chain(
            settings["certFile"], settings["keyFile"], password=lambda: ""
        )
    except (ssl.SSLError, OSError):
        return "certFile and keyFile must hold a PEM certificate and its unencrypted key"
    return None


_RULES = (_paired_credentials, _one_credential, _usable_ca, _usable_certificate)

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


def without_userinfo(address: str) -> tuple[str, tuple[str, str] | None]:
    """Split a URL into the URL that may be shown and the user and password it held, if any."""
    parts = urllib.parse.urlsplit(address)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return address, None
    user, _, password = userinfo.partition(":")
    decoded = (urllib.parse.unquote(user), urllib.parse.unquote(password))
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), decoded


def passwords_in_urls(settings: Settings) -> list[str]:
    """Return the decoded passwords in the configured URLs, which messages must not hold either."""
    addresses = [settings["url"] or "", *(settings["alertmanagerURL"] or [])]
    found = [without_userinfo(address)[1] for address in addresses]
    return [pair[1] for pair in found if pair and pair[1]]

"""The configuration: where the cluster is, who asks, what the documents look like."""

import base64
import binascii
import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final

from opsorch.observability.redact import Secret
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
    string_list,
    text,
    url,
    visible_ascii,
)
from opsorch.plugin.connection import (
    BASIC_AUTH_FIELDS,
    CONNECTION_FIELDS,
    CONNECTION_RULES,
    basic_text,
    paired_credentials,
    without_userinfo,
)
from opsorch.plugin.urls import url_part
from opsorch_plugins.elasticsearch.concepts import CANDIDATES
from opsorch_plugins.elasticsearch.indices import IndexPattern

Settings = Mapping[str, Any]

# Elasticsearch answers no more than this without paging (index.max_result_window).
MAX_WINDOW: Final = 10_000
_YEAR_S: Final = 366 * 24 * 3600
_ABSOLUTE_URL = url(userinfo=True)
_API_KEY_FAULT: Final = "must be base64 of id:key, id:key, or {id, api_key}"


@dataclasses.dataclass(frozen=True, slots=True)
class CloudId:
    """What an Elastic Cloud id decodes to: the URLs of both services."""

    elasticsearch: str
    kibana: str | None


def _addresses() -> Kind:
    """Take a list of URLs, or one text with commas between them. Yields a list."""

    def parse(value: Any) -> list[str]:
        given = value.split(",") if isinstance(value, str) else value
        if not isinstance(given, list) or not given:
            raise Unfit("must be a list of absolute http or https URLs")
        return [_address(entry, i) for i, entry in enumerate(given)]

    item = dict(_ABSOLUTE_URL.schema)
    return Kind(parse, {"anyOf": [{"type": "array", "items": item, "minItems": 1}, item]})


def _address(value: Any, index: int) -> str:
    try:
        parsed: str = _ABSOLUTE_URL.parse(value)
    except Unfit as unfit:
        raise Unfit(f"[{index}] must be an absolute http or https URL") from unfit
    return parsed


def _cloud_id() -> Kind:
    """Take ``name:base64`` of ``host[:port]$elasticsearch[$kibana]``.

    Source: elastic.co/guide/en/cloud/current/ec-cloud-id.html.
    """

    def parse(value: Any) -> CloudId:
        fault = Unfit("is not a valid cloud id")
        if not isinstance(value, str):
            raise fault
        encoded = value.strip().rpartition(":")[2]
        padded = encoded + "=" * (-len(encoded) % 4)
        try:
            decoded = base64.b64decode(padded, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise fault from exc
        host, _, names = decoded.partition("$")
        cluster, _, kibana = names.partition("$")
        found = _cloud_url(cluster, host), _cloud_url(kibana.partition("$")[0], host)
        if not host or found[0] is None or (kibana and found[1] is None):
            raise fault
        return CloudId(found[0], found[1])

    return Kind(parse, {"type": "string"})


_HOST_PART = re.compile(r"([A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")


def _cloud_url(name: str, host: str) -> str | None:
    """Put one service's name before the host; a port may stand after either."""
    service, domain = _HOST_PART.fullmatch(name), _HOST_PART.fullmatch(host)
    if not service or not domain:
        return None
    port = service[2] or domain[2]
    return f"https://{service[1]}.{domain[1]}" + (f":{port}" if port else "")


def _api_key() -> Kind:
    """Take an API key in any of the forms in which people have it. Yields the encoded Secret.

    Source: elastic.co/guide/en/elasticsearch/reference/8.17/security-api-create-api-key.html:
    ``encoded`` is base64 of id and key, joined by a colon.
    """

    def parse(value: Any) -> Secret:
        if isinstance(value, dict):
            parts = [value.get("id"), value.get("api_key")]
            value = ":".join(part.strip() if isinstance(part, str) else "" for part in parts)
        if not isinstance(value, str):
            raise Unfit(_API_KEY_FAULT)
        return Secret(_encoded_key(value.strip()))

    pair = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "api_key": {"type": "string"}},
    }
    return Kind(parse, {"anyOf": [{"type": "string"}, pair]})


_KEY_PAIR = re.compile(r"[\x21-\x39\x3b-\x7e]+:[\x21-\x39\x3b-\x7e]+")


def _encoded_key(value: str) -> str:
    if _KEY_PAIR.fullmatch(value):
        return base64.b64encode(value.encode()).decode()
    try:
        decoded = base64.b64decode(value, validate=True).decode("ascii")
    except (binascii.Error, ValueError) as exc:
        raise Unfit(_API_KEY_FAULT) from exc
    if not _KEY_PAIR.fullmatch(decoded):
        raise Unfit(_API_KEY_FAULT)
    return value


def _index_pattern() -> Kind:
    def parse(value: Any) -> str:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise Unfit("must be a string or a list of strings")
        try:
            return str(IndexPattern.of(",".join(names)))
        except ValueError as exc:
            raise Unfit(str(exc)) from exc

    item = {"type": "string"}
    return Kind(parse, {"anyOf": [item, {"type": "array", "items": item}]})


_FIELD_NAME = r"[^\s*\x00-\x1f\x7f.](?:[^*\x00-\x1f\x7f]{0,254}[^\s*\x00-\x1f\x7f.])?"


def _field_map() -> Kind:
    """Take an object: concept -> list of field names."""

    def parse(value: Any) -> dict[str, list[str]]:
        if not isinstance(value, dict) or set(value) - set(CANDIDATES):
            raise Unfit(f"must be an object with the keys {', '.join(CANDIDATES)}")
        for name, fields in value.items():
            fits = isinstance(fields, list) and fields and all(map(_is_field_name, fields))
            if not fits:
                raise Unfit(f".{name} must be a list of field names")
        return value

    names = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    properties = dict.fromkeys(CANDIDATES, names)
    return Kind(parse, {"type": "object", "properties": properties, "additionalProperties": False})


def _is_field_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(_FIELD_NAME, value) is not None


FIELDS: Final = (
    Field(
        "addresses",
        _addresses(),
        aliases=("url", "urls", "hosts", "address"),
        help="Nodes or proxies of one cluster; a list, or one text with commas. This or cloudID.",
    ),
    Field(
        "cloudID",
        _cloud_id(),
        aliases=("cloudId", "cloud_id"),
        help="Elastic Cloud's id of the deployment; wins over addresses.",
    ),
    *BASIC_AUTH_FIELDS,
    Field(
        "apiKey",
        _api_key(),
        aliases=("api_key",),
        secret=True,
        help="`encoded` of the API that creates keys, or `id:key`, or `{id, api_key}`."
        " Wins over bearerToken, which wins over username.",
    ),
    Field(
        "bearerToken",
        visible_ascii(),
        aliases=("token", "serviceToken"),
        secret=True,
        help="Token of a service account, or an access token.",
    ),
    Field(
        "indexPattern",
        _index_pattern(),
        default="logs-*",
        aliases=("index", "indices", "index_pattern"),
        help="Indices, aliases, data streams, wildcards, exclusions `-x`, date math"
        " `<logs-{now/d}>`, `cluster:index`; a text or a list.",
    ),
    Field(
        "kibanaURL",
        url(),
        aliases=("kibanaUrl", "dashboardsURL"),
        help="Kibana or OpenSearch Dashboards, for links; known already from cloudID.",
    ),
    Field(
        "kibanaSpace",
        text(r"[a-z0-9_-]+", "must be lower-case letters, digits, _ and -"),
        help="Id of the Kibana space of links.",
    ),
    Field(
        "dataViewID",
        aliases=("dataViewId", "indexPatternID"),
        help="Id of the data view of links; default: indexPattern.",
    ),
    Field(
        "flavor",
        choice("auto", "elasticsearch", "opensearch"),
        default="auto",
        help="Whose API it is; `auto` asks the server when it matters.",
    ),
    Field(
        "timestampField",
        text(_FIELD_NAME, "must be a field name"),
        default="@timestamp",
        aliases=("timeField",),
        help="Field with the time of an entry.",
    ),
    Field(
        "fieldMap",
        _field_map(),
        default={},
        aliases=("fields",),
        help="Fields of message, severity, service, environment and team; first wins.",
    ),
    Field(
        "fieldTypes",
        boolean(),
        default=False,
        help="Ask for the types of fields (`_field_caps`, kept 5 minutes), for exact filters.",
    ),
    Field(
        "searchMode",
        choice("simple", "lucene", "text"),
        default="simple",
        help="How `expression.search` is read: words and simple operators, Lucene, or a phrase.",
    ),
    Field(
        "defaultLimit",
        integer(1, MAX_WINDOW),
        default=1000,
        help="Entries of a query that names no limit.",
    ),
    Field("maxResults", integer(1, 100_000), default=10_000, help="Entries of a query at most."),
    Field("pageSize", integer(1, MAX_WINDOW), default=1000, help="Entries of one request."),
    dataclasses.replace(
        LOOKBACK,
        kind=integer(0, 10 * _YEAR_S),
        help="Length of a query that names no start; 0: no lower bound.",
    ),
    Field(
        "maxSpanSeconds",
        integer(0, 10 * _YEAR_S),
        default=0,
        help="Longest time range of a query; 0: any.",
    ),
    Field(
        "terminateAfter",
        integer(0, 2**31 - 1),
        default=0,
        help="Documents that each shard looks at, at most; 0: all. Answers are partial then.",
    ),
    Field(
        "allowIndexOverride",
        boolean(),
        default=False,
        help="Let `metadata.index` narrow the indices.",
    ),
    Field(
        "sourceIncludes",
        string_list(),
        default=[],
        help="Patterns of the fields to fetch; default: all.",
    ),
    Field("sourceExcludes", string_list(), default=[], help="Patterns of fields not to fetch."),
    *CONNECTION_FIELDS,
    TIMEOUT,
)


def _some_address(settings: Settings) -> str | None:
    if settings["addresses"] or settings["cloudID"]:
        return None
    return "addresses or cloudID is required"


CONFIG: Final = ConfigSpec(
    "elasticsearch", FIELDS, (_some_address, paired_credentials, *CONNECTION_RULES)
)


def addresses_of(settings: Settings) -> list[str]:
    """Return the URLs of the cluster, userinfo included."""
    cloud: CloudId | None = settings["cloudID"]
    return [cloud.elasticsearch] if cloud else settings["addresses"]


def kibana_of(settings: Settings) -> str | None:
    """Return the URL of Kibana with the space, if Kibana is known."""
    cloud: CloudId | None = settings["cloudID"]
    base = settings["kibanaURL"] or (cloud.kibana if cloud else None)
    space = settings["kibanaSpace"]
    return f"{base}/s/{url_part(space)}" if base and space else base


def hidden_texts(settings: Settings) -> list[str]:
    """Return secrets that the configuration holds in another form, for the redactor."""
    hidden: list[str] = []
    for address in settings["addresses"] or []:
        pair = without_userinfo(address)[1]
        hidden += [pair[1], basic_text(*pair)] if pair else []
    if settings["apiKey"]:
        decoded = base64.b64decode(settings["apiKey"].reveal()).decode("ascii")
        hidden += [decoded, decoded.partition(":")[2]]
    if settings["password"]:
        hidden.append(basic_text(settings["username"], settings["password"].reveal()))
    return hidden

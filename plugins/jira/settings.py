"""The configuration of the Jira adapter."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final

from opsorch.plugin import TIMEOUT, ConfigSpec, Field
from opsorch.plugin.config import Kind, boolean, email, number, string_list, string_map, text, url

Settings = Mapping[str, Any]

API_PATH: Final = "/rest/api/3"
# API tokens with scopes are only taken by this host.
# Source: https://support.atlassian.com/atlassian-account/docs/manage-api-tokens-for-your-atlassian-account/
_GATEWAY = re.compile(r"https?://api\.atlassian\.com/ex/jira/[^/]+", re.IGNORECASE)

SCOPE_PARTS: Final = ("service", "team", "environment")


def _api_url() -> Kind:
    """Take the URL of a site; the path of the API at its end is stripped."""
    inner = url()

    def parse(value: Any) -> str:
        address: str = inner.parse(value)
        return address.removesuffix(API_PATH).rstrip("/")

    return Kind(parse, inner.schema)


def _project_key() -> Kind:
    inner = text(r"[A-Za-z][A-Za-z0-9_]*", "is not a valid project key")
    return Kind(lambda value: inner.parse(value).upper(), inner.schema)


CONFIG: Final = ConfigSpec(
    "jira",
    (
        Field(
            "apiToken",
            required=True,
            secret=True,
            aliases=("apiKey", "api_token", "token"),
            help="API token of the account.",
        ),
        Field(
            "email",
            email(),
            required=True,
            aliases=("username", "user"),
            help="Email address of the account that the token belongs to.",
        ),
        Field(
            "apiURL",
            _api_url(),
            required=True,
            aliases=("apiUrl", "api_url", "baseURL", "baseUrl", "url"),
            help="The site, `https://<name>.atlassian.net`; for a token with scopes"
            " `https://api.atlassian.com/ex/jira/<cloudId>`.",
        ),
        Field(
            "projectKey",
            _project_key(),
            required=True,
            aliases=("project_key", "project"),
            help="Project in which tickets are searched and created.",
        ),
        Field(
            "defaultIssueType",
            default="Task",
            help="Issue type of a new ticket that names none.",
        ),
        Field("source", default="jira", help="Shown as `metadata.source` of every ticket."),
        Field(
            "siteURL",
            url(),
            help="The site as people reach it, for links; default: apiURL, or what the site says"
            " of itself where apiURL is api.atlassian.com.",
        ),
        Field(
            "scopeFields",
            string_map(
                SCOPE_PARTS,
                text(r"labels|component|cf\[[0-9]+\]", "must be labels, component or cf[N]"),
            ),
            default={},
            help="Where `service`, `team` and `environment` are found:"
            " `labels`, `component` or `cf[<number of a custom field>]`.",
        ),
        Field(
            "extraFields",
            string_list(text(r"[A-Za-z][A-Za-z0-9_.:-]*", "must hold field ids")),
            default=[],
            help="Ids of Jira fields to show in `fields`, as Jira has them.",
        ),
        Field("allowRawJQL", boolean(), default=False, help="Allow JQL in `metadata.jql`."),
        dataclasses.replace(TIMEOUT, kind=number(1, 300)),
    ),
)


def is_gateway(address: str) -> bool:
    """Tell whether an API address is Atlassian's gateway, which people cannot open."""
    return _GATEWAY.match(address) is not None

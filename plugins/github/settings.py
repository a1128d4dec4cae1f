"""The configuration of the three providers. One object with all fields may be given to each."""

import re
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from opsorch.plugin.config import (
    ConfigSpec,
    Field,
    Kind,
    Unfit,
    boolean,
    choice,
    number,
    string_list,
    string_map,
    text,
    url,
    visible_ascii,
)

Settings = Mapping[str, Any]

DEFAULT_API: Final = "https://api.github.com"
# Path of the REST API on Enterprise Server.
# Source: https://docs.github.com/en/enterprise-server/rest/enterprise-admin, "Endpoint URLs"
ENTERPRISE_PATH: Final = "/api/v3"

# "." and ".." would change the path of a request.
_NAME = r"(?!\.{1,2}$)[A-Za-z0-9._-]+"
_DATA_RESIDENCY = re.compile(r"api\.[a-z0-9-]+\.ghe\.com")

REPOSITORY_NAME: Final = re.compile(_NAME)


def _api_url() -> Kind:
    """Take the base of the REST API in each form that people write it."""
    absolute = url()

    def parse(value: Any) -> str:
        try:
            base: str = absolute.parse(value)
        except Unfit as unfit:
            raise Unfit("must be an absolute http(s) URL") from unfit
        parts = urllib.parse.urlsplit(base)
        host = (parts.hostname or "").lower()
        if host in ("github.com", "www.github.com"):
            return DEFAULT_API
        if host == "api.github.com" or _DATA_RESIDENCY.fullmatch(host) or parts.path:
            return base
        return base + ENTERPRISE_PATH

    return Kind(parse, absolute.schema)


def _repository() -> Kind:
    """Take ``name`` or ``owner/name``, as people copy it, with or without ``.git``."""
    shape = re.compile(rf"(?:{_NAME.replace('$', '/')}/)?{_NAME}")

    def parse(value: Any) -> str:
        name = value.strip().removesuffix(".git") if isinstance(value, str) else ""
        if not shape.fullmatch(name):
            raise Unfit("must be a repository name")
        return name

    return Kind(parse, {"type": "string"})


def _same_owner(settings: Settings) -> str | None:
    owner, slash, _ = settings["repo"].rpartition("/")
    if slash and owner.casefold() != settings["owner"].casefold():
        return "field repo names another owner than field owner"
    return None


class GitHubConfig(ConfigSpec):
    """The configuration of one provider; the fields of the others are no strangers to it."""

    __slots__ = ()

    def unknown(self, config: Mapping[str, Any]) -> list[str]:
        """Name the given fields that none of the three providers knows, sorted."""
        specs = (TICKET_CONFIG, DEPLOYMENT_CONFIG, TEAM_CONFIG)
        strangers = [set(ConfigSpec.unknown(spec, config)) for spec in specs]
        return sorted(set.intersection(*strangers))


class RepositoryConfig(GitHubConfig):
    """The configuration of one repository: ``repo`` may name the owner, too."""

    __slots__ = ()

    def parse(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings; ``repo`` is the bare name, ``owner`` is always there.

        Raises:
            InvalidConfig: As ConfigSpec says; also where both name different owners.
        """
        settings = super().parse({**config, **_owner_of_repo(config)})
        settings["repo"] = settings["repo"].rpartition("/")[2]
        return settings


def _owner_of_repo(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the owner that only ``repo`` names, as a part of a configuration."""
    repo, owner = config.get("repo"), config.get("owner")
    if isinstance(repo, str) and repo.count("/") == 1 and (owner is None or not str(owner).strip()):
        return {"owner": repo.partition("/")[0].strip()}
    return {}


_TOKEN = Field(
    "token",
    visible_ascii(),
    required=True,
    aliases=("apiToken", "accessToken"),
    secret=True,
    help="Personal access token (fine-grained or classic) or installation token.",
)
_LOGIN = text(_NAME, "must be a login: letters, digits, -, _ and .")
_REPOSITORY = (
    _TOKEN,
    Field("owner", _LOGIN, required=True, help="User or organization that owns the repository."),
    Field(
        "repo",
        _repository(),
        required=True,
        help="Name of the repository; `owner/name` is taken apart.",
    ),
)
_SHARED = (
    Field(
        "apiURL",
        _api_url(),
        default=DEFAULT_API,
        aliases=("apiUrl", "baseURL", "baseUrl"),
        help="Base of the REST API; for Enterprise Server the host is enough.",
    ),
    Field("source", default="github", help="Shown as `metadata.source`."),
    Field(
        "timeoutSeconds",
        number(1, 300),
        default=30,
        help="Budget of one call in seconds: pages, retries and waits included.",
    ),
)

TICKET_CONFIG: Final = RepositoryConfig(
    "github",
    (
        *_REPOSITORY,
        Field(
            "defaultState",
            choice("open", "closed"),
            default="open",
            help="Accepted for compatibility; GitHub cannot create a closed issue.",
        ),
        Field(
            "defaultLabels",
            string_list(),
            default=[],
            help="Labels added to every issue that is created.",
        ),
        *_SHARED,
    ),
    rules=(_same_owner,),
)
DEPLOYMENT_CONFIG: Final = RepositoryConfig(
    "github",
    (
        *_REPOSITORY,
        Field(
            "deploymentSource",
            choice("actions", "deployments"),
            default="actions",
            help="`actions`: workflow runs; `deployments`: the Deployments API.",
        ),
        Field(
            "workflows",
            string_list(),
            default=[],
            help="File names, ids or names of the workflows to keep; empty keeps all.",
        ),
        Field(
            "environments",
            string_map(),
            default={},
            help="Environment by workflow name, file name or branch.",
        ),
        *_SHARED,
    ),
    rules=(_same_owner,),
)
TEAM_CONFIG: Final = GitHubConfig(
    "github",
    (
        _TOKEN,
        Field(
            "organization",
            _LOGIN,
            required=True,
            aliases=("org",),
            help="Organization whose teams are shown.",
        ),
        Field(
            "memberDetails",
            boolean(),
            default=True,
            help="Fetch the profile of each member (at most 100 a call).",
        ),
        *_SHARED,
    ),
)

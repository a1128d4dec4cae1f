"""What a DeploymentQuery asks for: parameters for GitHub, and what is left to do here."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import (
    Json,
    all_words_in,
    limit_of,
    object_of,
    scope_of,
    strings_of,
    text_of,
    word_of,
)
from opsorch.plugin.vendor import text_in
from opsorch_plugins.github import environments
from opsorch_plugins.github.deployment_mapping import (
    FULL_SHA,
    SHORT_SHA,
    run_actor,
    run_environment,
    run_path,
    run_status,
)
from opsorch_plugins.github.mapping import numeric_id
from opsorch_plugins.github.settings import Settings

MOST: Final = 1000

QUEUED, RUNNING, SUCCESS, FAILED, CANCELLED = "queued", "running", "success", "failed", "cancelled"
_TERMINAL: Final = frozenset({SUCCESS, FAILED, CANCELLED})
STATUSES: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("queued", "pending"), frozenset({QUEUED})),
    **dict.fromkeys(("running", "in_progress"), frozenset({RUNNING})),
    **dict.fromkeys(("success", "succeeded"), frozenset({SUCCESS})),
    **dict.fromkeys(("failed", "failure", "error"), frozenset({FAILED})),
    **dict.fromkeys(("cancelled", "canceled"), frozenset({CANCELLED})),
    "completed": _TERMINAL,
}
# Keys of metadata that GitHub takes under the same name.
# Sources: https://docs.github.com/en/rest/actions/workflow-runs, "List workflow runs for a
# repository"; https://docs.github.com/en/rest/deployments/deployments, "List deployments"
_RUN_KEYS: Final = ("branch", "actor", "event", "created", "head_sha")
_DEPLOYMENT_KEYS: Final = ("ref", "sha", "task")

_HEX = re.compile(rf"[0-9a-f]{{{SHORT_SHA},}}", re.IGNORECASE)
_WORKFLOW_PART = re.compile(r"[0-9]+|[^/\\?#%\x00-\x1f]+\.ya?ml", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DeploymentFilter:
    """A checked DeploymentQuery.

    Attributes:
        query: Words that must all occur, or "".
        statuses: Normalized statuses, empty for any.
        versions: SHAs, beginnings of SHAs, branches or tags; any of them.
        elsewhere: The scope names a service that is not the configured repository.
        environment: Name in the query, or "".
        workflow: ``metadata.workflow``, or "".
        metadata: Checked parameters for GitHub, by name, of both sources.
        limit: Deployments at most.
    """

    query: str
    statuses: frozenset[str]
    versions: tuple[str, ...]
    elsewhere: bool
    environment: str
    workflow: str
    metadata: Mapping[str, str]
    limit: int

    def run_parameters(self) -> dict[str, str]:
        """Return the parameters of the list of runs; ``status`` only narrows what is sent."""
        parameters = {key: self.metadata[key] for key in _RUN_KEYS if key in self.metadata}
        if len(self.versions) == 1 and FULL_SHA.fullmatch(self.versions[0]):
            parameters.setdefault("head_sha", self.versions[0])
        if self.statuses and self.statuses <= _TERMINAL:
            parameters["status"] = "completed"
        elif self.statuses == {RUNNING}:
            parameters["status"] = "in_progress"
        return parameters

    def deployment_parameters(self) -> dict[str, str]:
        """Return the parameters of the list of deployments."""
        parameters = {key: self.metadata[key] for key in _DEPLOYMENT_KEYS if key in self.metadata}
        if self.environment and not environments.is_alias(self.environment):
            parameters["environment"] = self.environment
        return parameters

    @property
    def filters_here(self) -> bool:
        """Tell whether runs that GitHub sends may be left out, workflows aside."""
        return bool(self.query or self.statuses or self.versions or self.environment)

    def keeps_run(self, run: Json, settings: Settings) -> bool:
        """Tell whether a run that GitHub sent is one of those asked for."""
        texts = (
            text_in(run, "name"),
            text_in(run, "display_title"),
            text_in(run, "head_branch"),
            text_in(run, "head_sha"),
            text_in(run.get("head_commit"), "message"),
            text_in(run_actor(run), "login"),
        )
        return (
            self.keeps_status(run_status(run))
            and self._has_version(text_in(run, "head_sha"), text_in(run, "head_branch"))
            and self._is_in(run_environment(run, settings["environments"]))
            and all_words_in(self.query, texts)
        )

    def keeps_deployment(self, deployment: Json) -> bool:
        """Tell whether a deployment is one of those asked for, its status aside."""
        texts = (
            text_in(deployment, "ref"),
            text_in(deployment, "sha"),
            text_in(deployment, "task"),
            text_in(deployment, "environment"),
            text_in(deployment, "description"),
            text_in(deployment.get("creator"), "login"),
        )
        return (
            self._has_version(text_in(deployment, "sha"), text_in(deployment, "ref"))
            and self._is_in(text_in(deployment, "environment"))
            and all_words_in(self.query, texts)
        )

    def keeps_status(self, status: str) -> bool:
        """Tell whether a normalized status is one of those asked for."""
        return not self.statuses or status in self.statuses

    def _has_version(self, sha: str, ref: str) -> bool:
        return not self.versions or any(
            version == ref or (_HEX.fullmatch(version) and sha.startswith(version.lower()))
            for version in self.versions
        )

    def _is_in(self, environment: str) -> bool:
        wanted = self.environment
        return not wanted or (bool(environment) and environments.same(environment, wanted))


def filter_of(payload: Json, settings: Settings, *, default_limit: int) -> DeploymentFilter:
    """Read a DeploymentQuery.

    Raises:
        BadRequest: A field does not fit; names it.
    """
    scope = scope_of(payload)
    metadata = object_of(payload, "metadata")
    wanted = [word_of(STATUSES, word, "statuses") for word in strings_of(payload, "statuses")]
    repo = settings["repo"].casefold()
    own_names = ("", repo, f"{settings['owner'].casefold()}/{repo}")
    return DeploymentFilter(
        query=text_of(payload, "query").strip(),
        statuses=frozenset().union(*wanted),
        versions=tuple(v.strip() for v in strings_of(payload, "versions") if v.strip()),
        elsewhere=scope.get("service", "").casefold() not in own_names,
        environment=scope.get("environment", ""),
        workflow=_workflow(metadata),
        metadata=_parameters(metadata),
        limit=limit_of(payload, default=default_limit, most=MOST),
    )


def _parameters(metadata: Json) -> dict[str, str]:
    given = {
        key: text_of(metadata, key, where="metadata.").strip()
        for key in (*_RUN_KEYS, *_DEPLOYMENT_KEYS)
    }
    return {key: value for key, value in given.items() if value}


def _workflow(metadata: Json) -> str:
    value: Any = metadata.get("workflow")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise BadRequest("metadata.workflow must be a file name, an id or a name")
    return (value or "").strip()


def is_workflow(run: Json, wanted: str) -> bool:
    """Tell whether a run is of a workflow, named by path, file name, id or display name."""
    path = run_path(run)
    names = (path, path.rpartition("/")[2], numeric_id(run, "workflow_id"), text_in(run, "name"))
    return any(name and name.casefold() == wanted.casefold() for name in names)


def is_any_workflow(run: Json, wanted: Iterable[str]) -> bool:
    """Tell whether a run is of one of several workflows."""
    return any(is_workflow(run, name) for name in wanted)


def workflow_part(wanted: str) -> str:
    """Return what stands for a workflow in a path, "" for a name that only runs can be held to."""
    part = wanted.rpartition("/")[2]
    return part if _WORKFLOW_PART.fullmatch(part) else ""

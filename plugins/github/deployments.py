"""The deployment provider: workflow runs of one repository, or its Deployments API."""

import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from opsorch.errors import BadRequest
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.payload import Json, id_of
from opsorch.plugin.urls import url_part
from opsorch_plugins.github.checks import checked
from opsorch_plugins.github.client import PAGE_SIZE, GitHub, unexpected
from opsorch_plugins.github.deployment_filter import (
    DeploymentFilter,
    filter_of,
    is_any_workflow,
    is_workflow,
    workflow_part,
)
from opsorch_plugins.github.deployment_mapping import (
    deployment_of,
    deployment_of_run,
    deployment_status,
)
from opsorch_plugins.github.mapping import numeric_id
from opsorch_plugins.github.settings import DEPLOYMENT_CONFIG

log = logging.getLogger("opsorch.plugin")

# GitHub itself stops at 1000 runs where one of its filters is used.
# Source: https://docs.github.com/en/rest/actions/workflow-runs, "List workflow runs for a
# repository"
MAX_PAGES: Final = 10
DEFAULT_RUNS: Final = 100
# Each deployment costs a request of its own for its status.
DEFAULT_DEPLOYMENTS: Final = 30
_ID = re.compile(r"[0-9]{1,20}")


class GitHubDeployments(Provider):
    """Workflow runs, or deployments, of one repository."""

    name = "github"
    capability = "deployment"
    config: ClassVar[ConfigSpec] = DEPLOYMENT_CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.github = GitHub(self.settings, self.redact)
        owner, repo = self.settings["owner"], self.settings["repo"]
        self._repository = f"{owner}/{repo}"
        self._base = f"/repos/{url_part(owner)}/{url_part(repo)}"
        self._of_runs = self.settings["deploymentSource"] == "actions"

    @rpc("deployment.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer a DeploymentQuery, newest first.

        Raises:
            BadRequest: A status or key of metadata does not fit.
        """
        default = DEFAULT_RUNS if self._of_runs else DEFAULT_DEPLOYMENTS
        asked = filter_of(payload, self.settings, default_limit=default)
        if asked.elsewhere:
            return []
        found = self._runs(asked, call) if self._of_runs else self._deployments(asked, call)
        return list(itertools.islice(found, asked.limit))

    @rpc("deployment.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Answer the run, or the deployment, of an id.

        Raises:
            BadRequest: The id has other characters than digits.
            NotFound: There is none.
        """
        wanted = id_of(payload)
        if not _ID.fullmatch(wanted):
            raise BadRequest("id must be the number of a workflow run or deployment")
        if self._of_runs:
            run = self._with_id(self.github.get(f"{self._base}/actions/runs/{wanted}", call))
            return deployment_of_run(run, self.settings)
        path = f"{self._base}/deployments/{wanted}"
        deployment = self._with_id(self.github.get(path, call))
        return deployment_of(deployment, self._newest_status(wanted, call), self.settings)

    def check(self, call: Call) -> list[Check]:
        """Read one run or deployment: proves token, repository and the permission to read."""
        path, what = ("actions/runs", "Actions") if self._of_runs else ("deployments",) * 2
        return checked(
            lambda: self.github.probe(f"{self._base}/{path}", call),
            f"{what.lower()} of {self._repository}",
            permission=f"{what.capitalize()}: read",
            scopes=("repo", "public_repo") if self._of_runs else ("repo", "repo_deployment"),
        )

    def _runs(self, asked: DeploymentFilter, call: Call) -> Iterator[Json]:
        """Yield the runs asked for, page after page."""
        kept: list[str] = self.settings["workflows"]
        selected = asked.workflow or (kept[0] if len(kept) == 1 else "")
        part = workflow_part(selected)
        workflow = f"/workflows/{url_part(part)}" if part else ""
        filters_here = bool(asked.filters_here or kept or asked.workflow)
        found = self.github.items(
            f"{self._base}/actions{workflow}/runs",
            asked.run_parameters(),
            call,
            under="workflow_runs",
            page_size=PAGE_SIZE if filters_here else min(PAGE_SIZE, asked.limit),
            max_pages=MAX_PAGES,
        )
        for run in _identified(found):
            if kept and not is_any_workflow(run, kept):
                continue
            if asked.workflow and not is_workflow(run, asked.workflow):
                continue
            if asked.keeps_run(run, self.settings):
                yield deployment_of_run(run, self.settings)

    def _deployments(self, asked: DeploymentFilter, call: Call) -> Iterator[Json]:
        """Yield the deployments asked for; each that is kept costs a request for its status."""
        found = self.github.items(
            f"{self._base}/deployments",
            asked.deployment_parameters(),
            call,
            page_size=PAGE_SIZE if asked.filters_here else min(PAGE_SIZE, asked.limit),
            max_pages=MAX_PAGES,
        )
        for deployment in _identified(found):
            if not asked.keeps_deployment(deployment):
                continue
            newest = self._newest_status(numeric_id(deployment), call)
            if asked.keeps_status(deployment_status(newest)):
                yield deployment_of(deployment, newest, self.settings)

    def _newest_status(self, deployment_id: str, call: Call) -> Json:
        """Return the newest status object of a deployment, ``{}`` where it has none.

        Source: https://docs.github.com/en/rest/deployments/statuses, "List deployment statuses"
        """
        path = f"{self._base}/deployments/{deployment_id}/statuses"
        found = self.github.items(path, {}, call, page_size=1, max_pages=1)
        return next(found, {})

    def _with_id(self, item: Json) -> Json:
        if not numeric_id(item):
            raise unexpected("a deployment was due")
        return item


def _identified(items: Iterator[Json]) -> Iterator[Json]:
    """Leave out what has no id: nobody could ask for it again."""
    for item in items:
        if numeric_id(item):
            yield item
        else:
            log.warning("GitHub sent a deployment without an id; it is left out")

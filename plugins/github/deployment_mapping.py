"""What GitHub sends, as deployments: workflow runs and Deployments API alike; pure and total.

Sources: https://docs.github.com/en/rest/actions/workflow-runs, .../rest/deployments/deployments,
.../rest/deployments/statuses (API version 2022-11-28)
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.vendor import known_time_in, objects_in, text_in
from opsorch_plugins.github import environments
from opsorch_plugins.github.mapping import number_in, numeric_id

SHORT_SHA: Final = 7
FULL_SHA: Final = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)

# Status of a run before it is completed. Source: https://docs.github.com/en/rest/actions/workflow-runs,
# "List workflow runs for a repository", parameter status
RUN_STATUSES: Final[Mapping[str, str]] = {
    "queued": "queued",
    "requested": "queued",
    "waiting": "queued",
    "pending": "queued",
    "in_progress": "running",
}
# Conclusion of a completed run; whatever is not here has failed. An action_required run waits for
# an approval. Source: https://docs.github.com/en/rest/checks/runs, conclusion
RUN_CONCLUSIONS: Final[Mapping[str, str]] = {
    "success": "success",
    "neutral": "success",
    "cancelled": "cancelled",
    "skipped": "cancelled",
    "stale": "cancelled",
    "action_required": "queued",
}
# State of the newest status of a deployment; one without any is queued.
# Source: https://docs.github.com/en/rest/deployments/statuses, "Create a deployment status", state
DEPLOYMENT_STATES: Final[Mapping[str, str]] = {
    "success": "success",
    "inactive": "success",
    "failure": "failed",
    "error": "failed",
    "in_progress": "running",
    "queued": "queued",
    "pending": "queued",
    "": "queued",
}
_TERMINAL_STATES: Final = frozenset({"success", "inactive", "failure", "error"})


def run_status(run: Json) -> str:
    """Return the status of a workflow run, in the contract's words where there is one."""
    status = text_in(run, "status").lower()
    if status == "completed":
        return RUN_CONCLUSIONS.get(text_in(run, "conclusion").lower(), "failed")
    return RUN_STATUSES.get(status, status)


def run_path(run: Json) -> str:
    """Return the path of a run's workflow file, without the revision that may follow it."""
    return text_in(run, "path").partition("@")[0]


def run_environment(run: Json, configured: Mapping[str, str]) -> str:
    """Derive the environment of a run, as written."""
    return environments.of_run(
        text_in(run, "name"), run_path(run), text_in(run, "head_branch"), configured
    )


def actor_of(user: Any) -> Json:
    """Write who started a deployment."""
    return without_empty(
        {
            "login": text_in(user, "login"),
            "id": number_in(user, "id"),
            "type": text_in(user, "type"),
            "url": text_in(user, "html_url"),
        }
    )


def run_actor(run: Json) -> Any:
    """Return the user who started this attempt, else the one who started the first."""
    return run.get("triggering_actor") or run.get("actor")


def deployment_of_run(run: Json, settings: Mapping[str, Any]) -> Json:
    """Write a workflow run as a Deployment."""
    raw = run_environment(run, settings["environments"])
    sha = text_in(run, "head_sha")
    completed = text_in(run, "status").lower() == "completed"
    pulls = [number_in(pull, "number") for pull in objects_in(run, "pull_requests")]
    fields = {
        "workflow_name": text_in(run, "name"),
        "branch": text_in(run, "head_branch"),
        "commit": sha,
        "commit_message": text_in(run.get("head_commit"), "message"),
        "event": text_in(run, "event"),
        "run_number": number_in(run, "run_number"),
        "run_attempt": number_in(run, "run_attempt"),
        "display_title": text_in(run, "display_title"),
        "conclusion": text_in(run, "conclusion"),
        "pull_requests": [number for number in pulls if number is not None],
        "environment_raw": raw,
    }
    metadata = {
        "source": settings["source"],
        "workflow_id": number_in(run, "workflow_id"),
        "path": text_in(run, "path"),
        "check_suite_id": number_in(run, "check_suite_id"),
    }
    return without_empty(
        {
            "id": numeric_id(run),
            "service": settings["repo"],
            "environment": environments.shown(raw),
            "version": sha[:SHORT_SHA],
            "status": run_status(run),
            "startedAt": known_time_in(run, "run_started_at") or known_time_in(run, "created_at"),
            "finishedAt": known_time_in(run, "updated_at") if completed else None,
            "url": text_in(run, "html_url"),
            "actor": actor_of(run_actor(run)),
            "fields": without_empty(fields),
            "metadata": without_empty(metadata),
        }
    )


def deployment_status(newest: Json) -> str:
    """Return the status of a deployment from its newest status object, ``{}`` where it has none."""
    state = text_in(newest, "state").lower()
    return DEPLOYMENT_STATES.get(state, state)


def deployment_of(deployment: Json, newest: Json, settings: Mapping[str, Any]) -> Json:
    """Write a deployment of the Deployments API, with its newest status, as a Deployment."""
    ref, sha = text_in(deployment, "ref"), text_in(deployment, "sha")
    raw = text_in(deployment, "environment")
    is_sha = bool(ref) and (ref == sha or FULL_SHA.fullmatch(ref) is not None)
    ended = text_in(newest, "state").lower() in _TERMINAL_STATES
    page = text_in(newest, "environment_url")
    fields = {
        "ref": ref,
        "sha": sha,
        "task": text_in(deployment, "task"),
        "description": text_in(deployment, "description"),
        "environment_url": page,
        "environment_raw": raw,
    }
    return without_empty(
        {
            "id": numeric_id(deployment),
            "service": settings["repo"],
            "environment": environments.shown(raw),
            "version": ref[:SHORT_SHA] if is_sha else ref,
            "status": deployment_status(newest),
            "startedAt": known_time_in(deployment, "created_at"),
            "finishedAt": known_time_in(newest, "created_at") if ended else None,
            "url": text_in(newest, "log_url") or page,
            "actor": actor_of(deployment.get("creator")),
            "fields": without_empty(fields),
            "metadata": without_empty({"source": settings["source"]}),
        }
    )

"""No JSON of GitHub's is too odd for the tables: what comes out has the contract's shapes."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch.capabilities import operations
from opsorch_plugins.github.deployment_mapping import deployment_of, deployment_of_run
from opsorch_plugins.github.mapping import member_of, team_of, ticket_of
from tests.plugins.github.support import Json

SETTINGS: Json = {
    "owner": "acme",
    "repo": "web",
    "organization": "acme",
    "source": "github",
    "environments": {"main": "live"},
}
RESULTS = {operation.method: operation.result for _, operation in operations()}
NAMES = [
    *("id", "number", "slug", "login", "name", "title", "body", "state", "status", "type"),
    *("assignees", "labels", "user", "milestone", "comments", "locked", "html_url", "node_id"),
    *("conclusion", "path", "head_branch", "head_sha", "head_commit", "message", "actor"),
    *("triggering_actor", "pull_requests", "workflow_id", "run_started_at", "created_at"),
    *("updated_at", "closed_at", "environment", "environment_url", "log_url", "ref", "sha"),
    *("creator", "parent", "privacy", "permission", "members_count", "email", "site_admin"),
    *("bio", "followers"),
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["completed", "success", "main", "2025-11-21T10:00:00Z"]),
)
OBJECTS = st.dictionaries(
    st.sampled_from(NAMES),
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
        ),
        max_leaves=6,
    ),
)


@pytest.mark.parametrize(
    ("method", "made"),
    [
        ("ticket.query", lambda raw: ticket_of(raw, SETTINGS)),
        ("deployment.query", lambda raw: deployment_of_run(raw, SETTINGS)),
        ("deployment.query", lambda raw: deployment_of(raw, raw, SETTINGS)),
        ("team.query", lambda raw: team_of(raw, SETTINGS)),
        ("team.members", lambda raw: member_of(raw, "maintainer", raw)),
    ],
)
@settings(max_examples=100, deadline=None)
@given(raw=OBJECTS)
def test_nothing_of_github_is_too_odd(
    method: str, made: Callable[[Json], Json], raw: dict[str, Any]
) -> None:
    """Each field that is made is answered as it is, and none is null."""
    found = made(raw)
    [answer] = json.loads(RESULTS[method].convert(json.dumps([found]).encode()))
    assert answer | found == answer
    assert None not in found.values()

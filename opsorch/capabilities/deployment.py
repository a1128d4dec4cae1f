"""Deployments: what was rolled out where and when."""

from opsorch.capabilities import fields as f
from opsorch.capabilities.results import many, one
from opsorch.capabilities.spec import READ, Capability, Operation, params_only

DeploymentQuery = f.shape(
    "DeploymentQuery",
    query=f.Text(help="Words to look for."),
    statuses=f.Texts(help="Any of these statuses."),
    versions=f.Texts(help="Any of these versions."),
    scope=f.scope(),
    limit=f.limit(),
    metadata=f.Bag(),
)

Deployment = f.shape(
    "Deployment",
    id=f.Text(always=True),
    service=f.Text(),
    environment=f.Text(),
    version=f.Text(),
    status=f.Text(always=True),
    startedAt=f.Time(always=True),
    finishedAt=f.Time(always=True),
    url=f.Text(),
    actor=f.Bag(),
    fields=f.Bag(),
    metadata=f.Bag(),
)

CAPABILITY = Capability(
    name="deployment",
    plural="deployments",
    summary="Deployments and their outcome.",
    operations=(
        Operation(
            "deployment.query",
            "POST",
            "/deployments/query",
            body=DeploymentQuery,
            empty_body=True,
            result=many(Deployment),
            kind=READ,
            audit="deployment.query",
            summary="Find deployments.",
        ),
        Operation(
            "deployment.get",
            "GET",
            "/deployments/{id}",
            arrange=params_only,
            result=one(Deployment),
            kind=READ,
            audit="deployment.get",
            summary="Get one deployment.",
        ),
    ),
)

"""Services: the catalogue of what runs."""

from typing import Any

from opsorch.capabilities import fields as f
from opsorch.capabilities.results import many
from opsorch.capabilities.spec import READ, Capability, Operation, Params

ServiceQuery = f.shape(
    "ServiceQuery",
    ids=f.Texts(),
    name=f.Text(),
    tags=f.TextMap(),
    limit=f.limit(),
    scope=f.scope(),
    metadata=f.Bag(),
)

Service = f.shape(
    "Service",
    id=f.Text(always=True),
    name=f.Text(always=True),
    url=f.Text(),
    tags=f.TextMap(),
    metadata=f.Bag(),
)


def empty_query(_params: Params, _body: dict[str, Any]) -> dict[str, Any]:
    """Send what POST /services/query sends of an empty body."""
    return f.load(ServiceQuery, {})


CAPABILITY = Capability(
    name="service",
    plural="services",
    summary="The service catalogue.",
    operations=(
        Operation(
            "service.query",
            "POST",
            "/services/query",
            body=ServiceQuery,
            empty_body=True,
            result=many(Service),
            kind=READ,
            audit="service.query",
            summary="Find services.",
        ),
        Operation(
            "service.query",
            "GET",
            "/services",
            arrange=empty_query,
            result=many(Service),
            kind=READ,
            audit="service.query",
            summary="List all services.",
        ),
    ),
)

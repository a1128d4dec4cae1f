"""Services: the catalogue of what runs."""

from opsorch.capabilities import fields as f
from opsorch.capabilities.results import many
from opsorch.capabilities.spec import READ, Capability, Operation

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

# GET /services looks at no parameters; its payload is that of an empty query.
NoParameters = f.shape("NoParameters")

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
            query=NoParameters,
            result=many(Service),
            kind=READ,
            audit="service.query",
            summary="List all services.",
        ),
    ),
)

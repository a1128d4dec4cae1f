"""Alerts: what monitoring systems say right now."""

from opsorch.capabilities import fields as f
from opsorch.capabilities.incident import Incident, IncidentQuery
from opsorch.capabilities.results import many, one
from opsorch.capabilities.spec import READ, Capability, Operation, params_only

AlertQuery = f.shape("AlertQuery", **f.declared(IncidentQuery))
Alert = f.shape("Alert", **f.declared(Incident))

CAPABILITY = Capability(
    name="alert",
    plural="alerts",
    summary="Alerts of monitoring systems.",
    operations=(
        Operation(
            "alert.query",
            "POST",
            "/alerts/query",
            body=AlertQuery,
            empty_body=True,
            result=many(Alert),
            kind=READ,
            audit="alert.query",
            summary="Find alerts.",
        ),
        Operation(
            "alert.get",
            "GET",
            "/alerts/{id}",
            arrange=params_only,
            result=one(Alert),
            kind=READ,
            audit="alert.get",
            summary="Get one alert.",
        ),
    ),
)

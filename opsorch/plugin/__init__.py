"""The SDK for plugin authors.

    from opsorch.plugin import ConfigSpec, Field, NotFound, Provider, rpc

    class Tickets(Provider):
        name, capability = "acme", "ticket"
        config = ConfigSpec("acme", (Field("token", required=True, secret=True),))

        @rpc("ticket.get")
        def get(self, payload, call):
            raise NotFound(f"ticket {payload['id']} not found")

    if __name__ == "__main__":
        Tickets.serve()

HTTP is in ``opsorch.plugin.http``, times in ``opsorch.plugin.times``, payload checks in
``opsorch.plugin.payload``, reading of a vendor's JSON in ``opsorch.plugin.vendor``, and
``opsorch.plugin.testing`` drives a plugin as a real process.
"""

from opsorch.errors import (
    AuthFailed,
    BadRequest,
    Conflict,
    InvalidConfig,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from opsorch.plugin.config import TIMEOUT, ConfigSpec, Field
from opsorch.plugin.provider import Call, Check, Dispatcher, Provider, rpc

__all__ = [
    "TIMEOUT",
    "AuthFailed",
    "BadRequest",
    "Call",
    "Check",
    "ConfigSpec",
    "Conflict",
    "Dispatcher",
    "Field",
    "InvalidConfig",
    "NotFound",
    "OpsOrchError",
    "Provider",
    "ProviderError",
    "RateLimited",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "rpc",
]

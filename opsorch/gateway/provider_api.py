"""GET and POST /providers/<capability>: which adapters there are, and putting one in place."""

import flask
import msgspec

from opsorch.capabilities import capability_named
from opsorch.capabilities.spec import Capability
from opsorch.errors import NotFound, SecretProviderMissing
from opsorch.gateway.state import facts, json_answer
from opsorch.observability.redact import clean_text
from opsorch.providers.registry import adapters

providers = flask.Blueprint("providers", __name__)


def _capability(name: str) -> Capability:
    found = capability_named(name)
    if found is None:
        raise NotFound(f"There is no capability {clean_text(name, 60)!r}; not found.")
    return found


@providers.get("/providers/<segment:name>", provide_automatic_options=False)
def listed(name: str) -> flask.Response:
    """List the adapters that OPSORCH_<CAP>_PROVIDER accepts."""
    facts().operation = "providers.list"
    found = list(adapters(_capability(name).name))
    return json_answer(msgspec.json.encode({"providers": found}) + b"\n")


@providers.post("/providers/<segment:name>", provide_automatic_options=False)
def configured(name: str) -> flask.Response:
    """Put an adapter in place; needs a secret provider to keep its configuration."""
    facts().operation = "providers.configure"
    # Also where there is no such capability: without a store, none can be configured.
    found = capability_named(name)
    raise SecretProviderMissing(
        "Providers cannot be configured over HTTP without a secret provider, which this version"
        f" does not have yet. Set OPSORCH_{found.name.upper() if found else '<CAP>'}_PLUGIN and"
        " _CONFIG and reload the gateway (SIGHUP)."
    )

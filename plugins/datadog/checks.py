"""Looks that ``plugin.check`` takes at an organisation."""

from collections.abc import Callable, Sequence
from typing import Final

from opsorch.errors import AuthFailed, OpsOrchError
from opsorch.plugin import Call, Check
from opsorch_plugins.datadog.client import Datadog

# Trouble of the connection, after which every further look would find the same.
_END_OF_CHECKS: Final = frozenset({"rate_limited", "upstream_timeout", "upstream_unreachable"})

Look = tuple[str, Callable[[], object]]


def looked_at(datadog: Datadog, call: Call, looks: Sequence[Look]) -> list[Check]:
    """Look at the API key, which has a path of its own, then at what the capability reads.

    Source: https://docs.datadoghq.com/api/latest/authentication/ (only the API key is validated).

    Args:
        datadog: The API.
        call: Its deadline bounds all looks.
        looks: Name of the check, and a read that raises where it fails.
    """
    checks: list[Check] = []
    all_looks: list[Look] = [("apiKey", lambda: _validated(datadog, call)), *looks]
    for name, look in all_looks:
        try:
            look()
        except OpsOrchError as error:
            checks.append(Check(name, ok=False, message=error.message))
            if error.code in _END_OF_CHECKS or name == "apiKey":
                break
        else:
            checks.append(Check(name, ok=True, message=f"{datadog.upstream.address} answers"))
    return checks


def _validated(datadog: Datadog, call: Call) -> None:
    if datadog.get("/api/v1/validate", call).get("valid") is not True:
        raise AuthFailed("Datadog does not know the API key. Check apiKey and site.")

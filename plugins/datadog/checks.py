"""Looks that ``plugin.check`` takes at an organisation."""

from collections.abc import Callable, Sequence

from opsorch.errors import AuthFailed
from opsorch.plugin import Call, Check
from opsorch.plugin.checks import Look, looked_at
from opsorch_plugins.datadog.client import Datadog

Read = tuple[str, Callable[[], object]]


def checked(datadog: Datadog, call: Call, reads: Sequence[Read]) -> list[Check]:
    """Look at the API key, which has a path of its own, then at what the capability reads.

    Source: https://docs.datadoghq.com/api/latest/authentication/ (only the API key is validated).

    Args:
        datadog: The API.
        call: Its deadline bounds all looks.
        reads: Name of the check, and a read that raises where it fails.
    """

    def look_of(name: str, read: Callable[[], object], *, vital: bool = False) -> Look:
        def take() -> str:
            read()
            return f"{datadog.upstream.address} answers"

        return Look(name, take, vital=vital)

    api_key = look_of("apiKey", lambda: _validated(datadog, call), vital=True)
    return looked_at([api_key, *(look_of(name, read) for name, read in reads)])


def _validated(datadog: Datadog, call: Call) -> None:
    if datadog.get("/api/v1/validate", call).get("valid") is not True:
        raise AuthFailed("Datadog does not know the API key. Check apiKey and site.")

"""What ``plugin.check`` says of a token, for all three providers."""

from collections.abc import Callable, Sequence

from opsorch.errors import AuthFailed, NotFound, OpsOrchError
from opsorch.plugin import Check
from opsorch.plugin.http import Reply


def checked(
    probe: Callable[[], Reply], what: str, *, permission: str, scopes: Sequence[str]
) -> list[Check]:
    """Make one authenticated call and name the permission or scope that is missing.

    Args:
        probe: Makes the call.
        what: What it reads, for people.
        permission: What a fine-grained token needs.
        scopes: Scopes of a classic token of which one is needed.
    """
    needed = f"A fine-grained token needs {permission}; a classic one {' or '.join(scopes)}."
    try:
        reply = probe()
    except (AuthFailed, NotFound) as error:
        return [Check("upstream", ok=False, message=f"{error.message} {needed}")]
    except OpsOrchError as error:
        return [Check("upstream", ok=False, message=error.message)]
    found = [Check("upstream", ok=True, message=f"{what} can be read")]
    return [*found, *_scopes(reply, scopes, needed)]


def _scopes(reply: Reply, scopes: Sequence[str], needed: str) -> list[Check]:
    """Judge the scopes of a classic token; fine-grained ones do not tell what they may do.

    Source: https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps,
    X-OAuth-Scopes
    """
    told = reply.headers.get("X-OAuth-Scopes")
    if told is None:
        return []
    granted = {scope.strip() for scope in told.split(",")}
    if granted & set(scopes):
        return [Check("scopes", ok=True)]
    return [Check("scopes", ok=False, message=f"The token has none of the scopes. {needed}")]

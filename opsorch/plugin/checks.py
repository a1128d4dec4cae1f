"""Several looks at an upstream for ``plugin.check``, one after another."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from opsorch.errors import AuthFailed, OpsOrchError
from opsorch.plugin.provider import Check

# Trouble of the connection, after which every further look would find the same.
_END_OF_CHECKS: Final = frozenset({"rate_limited", "upstream_timeout", "upstream_unreachable"})


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the upstream.

    Attributes:
        name: Name of the check.
        take: Looks; returns the message of success, or raises.
        needs: What the credentials need for it, for the message of a refusal.
        vital: Where it fails, nothing else is looked at.
    """

    name: str
    take: Callable[[], str]
    needs: str = ""
    vital: bool = False


def looked_at(looks: Iterable[Look]) -> list[Check]:
    """Take looks one after another, until the upstream does not answer."""
    checks: list[Check] = []
    for look in looks:
        try:
            checks.append(Check(look.name, ok=True, message=look.take()))
        except OpsOrchError as error:
            refused = look.needs and isinstance(error, AuthFailed)
            hint = f" This look needs {look.needs}." if refused else ""
            checks.append(Check(look.name, ok=False, message=f"{error.message}{hint}"))
            if look.vital or error.code in _END_OF_CHECKS:
                break
    return checks

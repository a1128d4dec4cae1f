"""The capability table: one module a capability, found here and checked for clashes.

Routes, RPC methods, OpenAPI, the docs tables and parametrised tests derive from CAPABILITIES.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from opsorch.capabilities.spec import Capability, Operation

# What the capability modules are made of; every other module of this package is a capability.
_FOUNDATION: Final = frozenset({"fields", "results", "spec"})


def _found() -> Iterator[Capability]:
    for module in pkgutil.iter_modules(__path__):
        if module.name not in _FOUNDATION:
            yield importlib.import_module(f"{__name__}.{module.name}").CAPABILITY


def checked(capabilities: Iterable[Capability]) -> Mapping[str, Capability]:
    """Return capabilities by name, sorted.

    Raises:
        ValueError: Two of them share a name or a route; says which.
    """
    by_name = {found.name: found for found in sorted(capabilities, key=lambda c: c.name)}
    names: dict[str, str] = {}
    routes: dict[tuple[str, str], str] = {}
    for capability in by_name.values():
        for name in capability.names:
            if names.setdefault(name, capability.name) != capability.name:
                raise ValueError(f"{name!r} names both {names[name]} and {capability.name}")
        for operation in capability.operations:
            route = (operation.verb, operation.path)
            if routes.setdefault(route, operation.method) != operation.method:
                raise ValueError(f"{route} leads to {routes[route]} and {operation.method}")
    return by_name


CAPABILITIES: Final = checked(_found())


def capability_named(name: str) -> Capability | None:
    """Return the capability of this name, singular or plural, in any letter case."""
    folded = name.strip().casefold()
    return next((found for found in CAPABILITIES.values() if folded in found.names), None)


def operations() -> Iterator[tuple[Capability, Operation]]:
    """Iterate over every operation with its capability."""
    for capability in CAPABILITIES.values():
        for operation in capability.operations:
            yield capability, operation

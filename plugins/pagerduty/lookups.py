"""Names of services, teams and priorities to ids."""

import re
from collections.abc import Mapping
from typing import Any

from opsorch.errors import BadRequest
from opsorch.observability.redact import clean_text
from opsorch.plugin import Call
from opsorch_plugins.pagerduty.client import PagerDuty, checked_id
from opsorch_plugins.pagerduty.mapping import name_of

# What ids of services and teams look like; a name may look so, too, and then wins.
_LIKE_AN_ID = re.compile(r"[PQ][A-Z0-9]{6,13}")


def looks_like_id(value: str) -> bool:
    """Tell whether a name may as well be an id."""
    return bool(_LIKE_AN_ID.fullmatch(value))


def matching_ids(pagerduty: PagerDuty, key: str, name: str, call: Call) -> list[str]:
    """Return the ids of the ``key`` (services or teams) that a name means.

    Those of exactly that name, letter case apart; else the value itself where it looks like an
    id; else those whose name holds it. Blocks for all pages of the look-up.
    """
    exact, partial = _named(pagerduty, key, name, call)
    if exact:
        return exact
    return [name] if looks_like_id(name) else partial


def unique_service(pagerduty: PagerDuty, name: str, call: Call) -> str:
    """Return the id of the one service of exactly that name, or the id itself; else ""."""
    exact, _ = _named(pagerduty, "services", name, call)
    if len(exact) == 1:
        return exact[0]
    return name if looks_like_id(name) and not exact else ""


def _named(pagerduty: PagerDuty, key: str, name: str, call: Call) -> tuple[list[str], list[str]]:
    """Return the ids whose name is, and those whose name holds, the given one."""
    wanted = name.casefold()
    exact, partial = [], []
    for item in pagerduty.items(f"/{key}", key, call, params=[("query", name)]):
        called = name_of(item).casefold()
        if called == wanted:
            exact.append(item["id"])
        elif wanted in called:
            partial.append(item["id"])
    return exact, partial


def priority_id(pagerduty: PagerDuty, wanted: str, call: Call) -> str:
    """Return the id of a priority, given by name or id.

    Raises:
        BadRequest: The account has no such priority; lists those that it has.
    """
    known = list(pagerduty.items("/priorities", "priorities", call))
    found = [item for item in known if name_of(item).casefold() == wanted.casefold()]
    found += [item for item in known if item["id"] == wanted]
    if found:
        return str(found[0]["id"])
    names = ", ".join(clean_text(name_of(item), 60) for item in known) or "none"
    shown = clean_text(wanted, 60)
    raise BadRequest(f"fields.priority: PagerDuty does not know {shown!r}; it has {names}")


def ids_in(bag: Mapping[str, Any], *names: str, where: str = "metadata.") -> list[str]:
    """Return the ids in the named fields, each of which is a text or a list of texts.

    Raises:
        BadRequest: A field is neither, or holds what is no id.
    """
    found: list[str] = []
    for name in names:
        value = bag.get(name)
        given = [value] if isinstance(value, str) else value
        if value is None or value == "":
            continue
        if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
            raise BadRequest(f"{where}{name} must be an id or a list of ids")
        found += [checked_id(item.strip(), f"{where}{name}") for item in given]
    return list(dict.fromkeys(found))

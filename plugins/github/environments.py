"""Names of environments: which are the same, and what a workflow run says of its own."""

import re
from collections.abc import Mapping
from typing import Final

# Names that people give to the same environment; the key is the one that is shown.
GROUPS: Final[Mapping[str, frozenset[str]]] = {
    "prod": frozenset({"prod", "prd", "production", "live"}),
    "staging": frozenset({"staging", "stage", "stg", "preprod"}),
    "dev": frozenset({"dev", "development", "develop"}),
    "test": frozenset({"test", "testing", "qa", "uat"}),
}
_GROUP_OF: Final = {alias: group for group, aliases in GROUPS.items() for alias in aliases}
_MAIN_BRANCHES: Final = frozenset({"main", "master"})
# Where one camel-case word ends and the next begins: "DeployProd", "QATests".
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ALPHANUMERICS = re.compile(r"[^\W_]+")


def shown(name: str) -> str:
    """Return the name of the group, or the name itself where it is in none."""
    return _GROUP_OF.get(name.strip().casefold(), name.strip())


def is_alias(name: str) -> bool:
    """Tell whether the name is in a group."""
    return name.strip().casefold() in _GROUP_OF


def same(one: str, other: str) -> bool:
    """Compare by group, else without regard to letter case."""
    return shown(one).casefold() == shown(other).casefold()


def words_of(name: str) -> list[str]:
    """Split a name at what is no letter or digit, and between camel-case words."""
    words: list[str] = []
    for part in _ALPHANUMERICS.findall(name):
        words += [part] if is_alias(part) else _CAMEL.split(part)
    return words


def named_in(name: str) -> str:
    """Return the first word that names an environment, as written; "" where none does.

    ``pre`` before a name of production makes it staging: ``pre-prod`` is not ``prod``.
    """
    previous = ""
    for word in words_of(name):
        if is_alias(word):
            before_production = previous.casefold() == "pre" and shown(word) == "prod"
            return "preprod" if before_production else word
        previous = word
    return ""


def of_run(name: str, path: str, branch: str, configured: Mapping[str, str]) -> str:
    """Derive the environment of a workflow run, as written; "" where nothing tells it.

    Args:
        name: Name of the workflow.
        path: Path of its file.
        branch: Branch or tag that it ran on.
        configured: Environment by workflow name, file name or branch.
    """
    told = {key.strip().casefold(): value for key, value in configured.items()}
    for key in (name, path, path.rpartition("/")[2], branch):
        if key and told.get(key.casefold(), "").strip():
            return told[key.casefold()].strip()
    found = named_in(name) or named_in(branch)
    return found or ("prod" if branch.casefold() in _MAIN_BRANCHES else "")

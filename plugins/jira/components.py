"""The components of the project, remembered for a while."""

import time
from collections.abc import Callable
from typing import Final

from opsorch.plugin import Call
from opsorch.plugin.memory import Memory
from opsorch.plugin.vendor import text_in
from opsorch_plugins.jira.client import Jira

KEPT_S: Final = 300.0


class Components:
    """Names of a project's components. Thread-safe."""

    def __init__(
        self, jira: Jira, project: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jira = jira
        self._project = project
        self._memory = Memory[str, dict[str, str]](KEPT_S, 1, clock=clock)

    def named(self, name: str, call: Call) -> str | None:
        """Return the component's name as Jira writes it, or None where there is none."""
        names = self._memory.get(self._project)
        if names is None:
            found = (text_in(c, "name") for c in self._jira.components(self._project, call))
            names = {each.strip().casefold(): each for each in found if each}
            self._memory.put(self._project, names)
        return names.get(name.strip().casefold())

"""The components of the project, remembered for a while."""

import threading
import time
from collections.abc import Callable
from typing import Final

from opsorch.plugin import Call
from opsorch_plugins.jira.client import Jira

KEPT_S: Final = 300.0


class Components:
    """Names of a project's components. Thread-safe."""

    def __init__(
        self, jira: Jira, project: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jira = jira
        self._project = project
        self._clock = clock
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}
        self._until: float | None = None

    def named(self, name: str, call: Call) -> str | None:
        """Return the component's name as Jira writes it, or None where there is none."""
        with self._lock:
            fresh = self._until is not None and self._clock() < self._until
            names = self._names
        if not fresh:
            found = [
                str(c["name"]) for c in self._jira.components(self._project, call) if "name" in c
            ]
            names = {each.strip().casefold(): each for each in found}
            with self._lock:
                self._names, self._until = names, self._clock() + KEPT_S
        return names.get(name.strip().casefold())

"""What the ten demo providers have in common: configuration, database, clock."""

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from opsorch.deadline import Deadline
from opsorch.plugin import Call, Provider
from opsorch.plugin.times import now
from opsorch.runbooks.database import BUSY_TIMEOUT_S
from opsorch_plugins.demo.settings import DEMO_CONFIG, DemoSettings
from opsorch_plugins.demo.state import DemoState, state_for
from opsorch_plugins.demo.world import World


@dataclass(frozen=True, slots=True)
class View:
    """One transaction on the database, and the world as it is in it."""

    connection: Connection
    world: World


class DemoProvider(Provider):
    """Base of the demo providers.

    Attributes:
        demo: The parsed configuration.
    """

    name = "demo"
    config = DEMO_CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.demo = DemoSettings.of(self.settings)

    def clock(self) -> datetime.datetime:
        """Return the present instant; a test replaces it."""
        return now()

    def state(self) -> DemoState:
        """Return the open database; the first call of a process opens and perhaps seeds it."""
        return state_for(self.demo, self.clock)

    @contextlib.contextmanager
    def reading(self, call: Call) -> Iterator[View]:
        """Open a transaction that reads one consistent state."""
        state = self.state()
        with state.read(_patience(call)) as connection:
            yield View(connection, state.world(connection, self.clock()))

    @contextlib.contextmanager
    def writing(self, call: Call) -> Iterator[View]:
        """Open a transaction that has the write lock; it commits unless the block raises."""
        state = self.state()
        with state.begin(_patience(call)) as connection:
            # The clock is read under the lock: who writes later has the later time.
            yield View(connection, state.world(connection, self.clock()))


def _patience(call: Call) -> Deadline:
    """Return how long to wait for a busy database: not longer than the call may take."""
    return call.deadline.within(BUSY_TIMEOUT_S)

"""The one database that all demo processes share: opening, seeding, reading the world, reset."""

import contextlib
import datetime
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import insert, inspect, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from opsorch.deadline import Deadline
from opsorch.errors import InvalidConfig
from opsorch.plugin.times import format_time, now, parse_time
from opsorch.runbooks import database
from opsorch.runbooks import tables as runbook_tables
from opsorch_plugins.demo import tables
from opsorch_plugins.demo.runbooks import seed_runs
from opsorch_plugins.demo.seeding import seed_world
from opsorch_plugins.demo.settings import FILE_NAME, SEEDED, DemoSettings
from opsorch_plugins.demo.world import World

Clock = Callable[[], datetime.datetime]

# Keys of demo_meta.
_VERSION: Final = "schema_version"
_SEED: Final = "seed"
_ANCHOR: Final = "anchor"
# What the configuration said: ``seed``, or the same time as _ANCHOR.
_ANCHOR_GIVEN: Final = "anchor_given"


class DemoState:
    """An open demo.db. Safe for threads; of several processes the first one seeds it."""

    def __init__(self, settings: DemoSettings, clock: Clock = now) -> None:
        """Open the database; create and seed it where it is new. Blocks while another one seeds.

        Raises:
            InvalidConfig: The folder cannot be written, or the database belongs to another world.
        """
        self.settings = settings
        self.step_seconds = settings.step_seconds
        self.database = _opened(settings.data_dir)
        try:
            self._seed_if_new(clock)
        except BaseException:
            self.database.close()
            raise

    @property
    def anchor(self) -> datetime.datetime:
        """The instant "now" of the story."""
        with self.read() as connection:
            return self.world(connection, now()).anchor

    @contextlib.contextmanager
    def read(self, deadline: Deadline | None = None) -> Iterator[Connection]:
        """Open a transaction that sees one consistent state and writes nothing."""
        with self.database.reading(deadline) as connection:
            yield connection

    @contextlib.contextmanager
    def begin(self, deadline: Deadline | None = None) -> Iterator[Connection]:
        """Open a transaction that has the write lock; it commits unless the block raises."""
        with self.database.writing(deadline) as connection:
            yield connection

    def world(self, connection: Connection, present: datetime.datetime) -> World:
        """Return the world as a transaction sees it.

        Raises:
            InvalidConfig: The database was seeded with another seed or anchor.
        """
        recorded = _recorded(connection)
        self._check_same(recorded)
        ended = select(tables.incidents.c.id, tables.incidents.c.ended_us).where(
            tables.incidents.c.ended_us.is_not(None)
        )
        rows = connection.execute(ended)
        ends = {row.id: runbook_tables.moment(row.ended_us) for row in rows}
        return _world_of(self.settings, parse_time(recorded[_ANCHOR]), present, ends)

    def close(self) -> None:
        """Close the connections of this process."""
        self.database.close()

    def _seed_if_new(self, clock: Clock) -> None:
        with self.read() as connection:
            seeded = inspect(connection).has_table(tables.demo_meta.name)
        if not seeded:
            with self.begin() as connection:
                # Others may have been faster while this one waited for the lock.
                if not inspect(connection).has_table(tables.demo_meta.name):
                    _seed(connection, self.settings, clock)
        with self.read() as connection:
            self._check_same(_recorded(connection))

    def _check_same(self, recorded: dict[str, str]) -> None:
        if recorded.get(_VERSION) != tables.SCHEMA_VERSION:
            raise InvalidConfig(
                f"demo config: field dataDir: its {FILE_NAME} is of another release;"
                " run `opsorch demo reset` or name another folder"
            )
        given = self.settings.anchor
        same_anchor = (
            recorded[_ANCHOR_GIVEN] == SEEDED
            if given is None
            else recorded[_ANCHOR] == format_time(given)
        )
        checks = ((_SEED, recorded[_SEED] == self.settings.seed), (_ANCHOR, same_anchor))
        differing = [f"field {name}" for name, same in checks if not same]
        if differing:
            raise InvalidConfig(
                f"demo config: {', '.join(differing)}: the database in dataDir was seeded with"
                " another one; give every capability the same, run `opsorch demo reset`, or name"
                " another dataDir"
            )


def _seed(connection: Connection, settings: DemoSettings, clock: Clock) -> None:
    """Create all tables and fill them; the caller has the write lock and commits."""
    tables.metadata.create_all(connection)
    runbook_tables.ensure_schema(connection)
    present, given = clock(), settings.anchor
    anchor = present.replace(second=0, microsecond=0) if given is None else given
    values = {
        _VERSION: tables.SCHEMA_VERSION,
        _SEED: settings.seed,
        _ANCHOR: format_time(anchor),
        _ANCHOR_GIVEN: SEEDED if given is None else format_time(given),
    }
    rows = [{"key": key, "value": value} for key, value in values.items()]
    connection.execute(insert(tables.demo_meta), rows)
    world = _world_of(settings, anchor, present, {})
    seed_world(connection, world)
    seed_runs(connection, world)


def _world_of(
    settings: DemoSettings,
    anchor: datetime.datetime,
    present: datetime.datetime,
    ended: Mapping[str, datetime.datetime],
) -> World:
    return World(
        anchor=anchor,
        seed=settings.seed,
        environment=settings.environment,
        source=settings.source,
        now=present,
        ended=ended,
    )


def _recorded(connection: Connection) -> dict[str, str]:
    meta = tables.demo_meta
    return {row.key: row.value for row in connection.execute(select(meta.c.key, meta.c.value))}


def _opened(folder: Path) -> database.Database:
    """Open the file in a folder.

    Raises:
        InvalidConfig: It cannot be written, or is no database.
    """
    try:
        opened = database.open_file(folder / FILE_NAME)
    except OSError as exc:
        raise InvalidConfig(
            f"demo config: field dataDir: {folder} cannot be written ({exc.strerror})"
        ) from exc
    try:
        with opened.engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    except SQLAlchemyError as exc:
        opened.close()
        if database.is_busy(exc):
            raise database.failure_of(exc) from exc
        raise InvalidConfig(
            f"demo config: field dataDir: {FILE_NAME} in {folder} cannot be opened as a database"
        ) from exc
    return opened


_states: dict[DemoSettings, DemoState] = {}
_lock = threading.Lock()


def state_for(settings: DemoSettings, clock: Clock = now) -> DemoState:
    """Return the open database of these settings, one a process; the first call opens it.

    Raises:
        InvalidConfig: The folder cannot be written, or the database belongs to another world.
    """
    with _lock:
        state = _states.get(settings)
    if state is not None:
        return state
    # Not under the lock: opening waits for whoever seeds. Two threads may both open; one is kept.
    opened = DemoState(settings, clock)
    with _lock:
        state = _states.setdefault(settings, opened)
    if state is not opened:
        opened.close()
    return state


def forget_states() -> None:
    """Close every database that this process has open."""
    with _lock:
        states = list(_states.values())
        _states.clear()
    for state in states:
        state.close()


def reset(settings: DemoSettings, clock: Clock = now) -> None:
    """Throw away all that was written and seed anew; the anchor is new unless it is configured.

    Processes that have the database open see the new world with their next call.

    Raises:
        InvalidConfig: The folder cannot be written.
        ProviderError: The database failed or is busy.
    """
    opened = _opened(settings.data_dir)
    try:
        with opened.writing() as connection:
            for metadata in (tables.metadata, runbook_tables.metadata):
                metadata.drop_all(connection)
            _seed(connection, settings, clock)
    finally:
        opened.close()

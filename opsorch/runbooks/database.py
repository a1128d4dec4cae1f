"""Transactions on the one database that every process of a provider shares.

SQLite in WAL mode: readers never wait, and a write transaction takes the write lock at its start,
so that what it read is still true when it writes. Each thread has a connection of its own while
it has a transaction, and a forked child opens its own.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from opsorch.deadline import Deadline
from opsorch.errors import ProviderError

BUSY_TIMEOUT_S: Final = 5.0
# A log that one long reader made large is cut to this after the next checkpoint.
JOURNAL_LIMIT_BYTES: Final = 16 * 1024 * 1024
# SQLite reports some conflicts at once, without its own waiting.
_RETRY_S: Final = 0.01
# Idle connections kept open; a host with more threads opens and closes the others.
_KEPT_CONNECTIONS: Final = 8
_WRITE: Final = "opsorch_write"
_WAIT_MS: Final = "opsorch_wait_ms"
_BUSY_CODES: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

# Whoever closes a descriptor of a database file drops every lock that the process has on it, so
# no thread may open the database between creation and the close that follows.
_creating = threading.Lock()
# Engines inherited over a fork. SQLite forbids to use or close them in the child, and the garbage
# collector would close them.
_inherited: list[Engine] = []


class Database:
    """A database and the transactions on it. Safe for threads and across forks."""

    def __init__(self, make_engine: Callable[[], Engine]) -> None:
        """Make the engine; nothing is opened before the first transaction."""
        self._make_engine = make_engine
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._engine = make_engine()

    @property
    def engine(self) -> Engine:
        """The engine of this very process."""
        with self._lock:
            if self._pid != os.getpid():
                _inherited.append(self._engine)
                self._engine, self._pid = self._make_engine(), os.getpid()
            return self._engine

    @contextlib.contextmanager
    def reading(self, deadline: Deadline | None = None) -> Iterator[Connection]:
        """Open a transaction that sees one consistent state and writes nothing.

        Raises:
            ProviderError: The database failed, or stayed busy until the deadline (5 s unless
                given).
        """
        with self._transaction(deadline, write=False) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, deadline: Deadline | None = None) -> Iterator[Connection]:
        """Open a transaction that holds the write lock; it commits unless the block raises.

        Blocks while another transaction has the lock.

        Raises:
            ProviderError: The database failed, or stayed busy until the deadline (5 s unless
                given); nothing was written.
        """
        with self._transaction(deadline, write=True) as connection:
            yield connection

    def close(self) -> None:
        """Close the connections of this process; the next transaction opens new ones."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _transaction(self, deadline: Deadline | None, *, write: bool) -> Iterator[Connection]:
        deadline = Deadline.after(BUSY_TIMEOUT_S) if deadline is None else deadline
        try:
            connection = self._begun(deadline, write=write)
            try:
                yield connection
                connection.commit()
            finally:
                # Rolls back whatever did not commit.
                connection.close()
        except (SQLAlchemyError, sqlite3.Error) as exc:
            raise failure_of(exc) from exc

    def _begun(self, deadline: Deadline, *, write: bool) -> Connection:
        """Return a connection with a transaction that has begun, waiting for its turn."""
        while True:
            wait_ms = int(1000 * min(BUSY_TIMEOUT_S, deadline.remaining()))
            try:
                connection = self.engine.connect()
                try:
                    options: dict[str, Any] = {_WRITE: write, _WAIT_MS: wait_ms}
                    connection = connection.execution_options(**options)
                    connection.begin()
                    return connection
                except BaseException:
                    connection.close()
                    raise
            except (SQLAlchemyError, sqlite3.Error) as exc:
                if not is_busy(exc) or deadline.expired:
                    raise
            time.sleep(min(_RETRY_S, deadline.remaining()))


def open_file(path: Path) -> Database:
    """Open a SQLite file, created with mode 0600 in a folder with mode 0700 where they are new.

    Raises:
        OSError: The folder or the file cannot be made or written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _creating, contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    for place in (path.parent, path):
        if not os.access(place, os.R_OK | os.W_OK):
            raise PermissionError(13, "not writable", str(place))
    return Database(lambda: _sqlite_engine(path))


def is_busy(exc: BaseException) -> bool:
    """Tell whether an error says that another transaction is in the way."""
    cause = exc.orig if isinstance(exc, DBAPIError) else exc
    # The low byte is the primary code; SQLITE_BUSY_SNAPSHOT and others share it.
    return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _BUSY_CODES


def failure_of(exc: BaseException) -> ProviderError:
    """Return the error that a caller may see of a database's: no path, no SQL text, no values."""
    if is_busy(exc):
        return ProviderError("state store busy: other calls held it all the time; try again")
    cause = exc.orig if isinstance(exc, DBAPIError) and exc.orig is not None else exc
    kind = getattr(cause, "sqlite_errorname", None) or type(cause).__name__
    return ProviderError(f"the state store failed ({kind}); nothing was written")


def _sqlite_engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=-1,
        connect_args={"timeout": BUSY_TIMEOUT_S},
        # An error text with parameters would hold what callers wrote.
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    """Set up a new connection; transactions begin where ``_begin`` says, not where sqlite3 does."""
    connection.isolation_level = None
    _use_wal(connection, Deadline.after(BUSY_TIMEOUT_S))
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}")


def _use_wal(connection: sqlite3.Connection, deadline: Deadline) -> None:
    """Switch to WAL.

    Of several processes that open a new file one does; SQLite tells the others at once that it is
    busy, whatever the busy timeout.
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if not is_busy(exc) or deadline.expired:
                raise
        else:
            return
        time.sleep(_RETRY_S)


def _begin(connection: Connection) -> None:
    """Begin a transaction, taking the write lock at once where it is to write."""
    options = connection.get_execution_options()
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.execute(f"PRAGMA busy_timeout = {options.get(_WAIT_MS, int(1000 * BUSY_TIMEOUT_S))}")
    raw.execute("BEGIN IMMEDIATE" if options.get(_WRITE) else "BEGIN")

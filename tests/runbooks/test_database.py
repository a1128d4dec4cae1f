"""The database: modes, transactions, what a busy or broken one answers, forks and processes."""

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest
from sqlalchemy.exc import IntegrityError

from opsorch.deadline import Deadline
from opsorch.errors import ProviderError
from opsorch.runbooks import database as database_module
from opsorch.runbooks.database import failure_of, is_busy, open_file


@pytest.fixture
def database(tmp_path):
    """A new database with one empty table."""
    opened = open_file(tmp_path / "state" / "s.db")
    with opened.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER UNIQUE)")
    yield opened
    opened.close()


def add(database, value, deadline=None):
    with database.writing(deadline) as connection:
        connection.exec_driver_sql(f"INSERT INTO t VALUES ({value})")


def values(database):
    with database.reading() as connection:
        return [row.x for row in connection.exec_driver_sql("SELECT x FROM t ORDER BY x")]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_file_side_files_and_folder_are_the_owners_alone(tmp_path, database):
    add(database, 1)
    folder = tmp_path / "state"
    assert mode(folder) == 0o700
    assert {name: mode(folder / name) for name in os.listdir(folder)} == dict.fromkeys(
        ("s.db", "s.db-wal", "s.db-shm"), 0o600
    )


def test_connections_use_wal_foreign_keys_and_a_busy_timeout(database):
    with database.writing() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "journal_size_limit")
        }
        waits_ms = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
    assert pragmas == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "synchronous": 1,
        "journal_size_limit": 16 * 1024 * 1024,
    }
    assert 4900 < waits_ms <= 5000


def test_an_existing_file_keeps_its_content(tmp_path, database):
    add(database, 1)
    again = open_file(tmp_path / "state" / "s.db")
    assert values(again) == [1]
    again.close()


def test_a_block_that_raises_writes_nothing(database):
    def write_and_fail():
        with database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
            raise LookupError

    with pytest.raises(LookupError):
        write_and_fail()
    assert values(database) == []


def test_a_reader_sees_one_state_and_waits_for_nobody(database):
    with database.reading() as reading, database.writing() as writing:
        count = "SELECT count(*) FROM t"
        assert reading.exec_driver_sql(count).scalar() == 0
        writing.exec_driver_sql("INSERT INTO t VALUES (1)")
        writing.commit()
        assert reading.exec_driver_sql(count).scalar() == 0
    assert values(database) == [1]


def test_a_busy_database_is_an_error_by_the_deadline_and_nothing_is_written(database):
    clock = iter([0.0, 0.02, 0.06, 9.0])
    with database.writing():
        deadline = Deadline(0.05, 0.05, lambda: next(clock, 9.0))
        with pytest.raises(ProviderError, match=r"^state store busy") as caught:
            add(database, 1, deadline)
    assert caught.value.code == "provider_error"
    assert values(database) == []


def test_a_writer_waits_for_its_turn(database):
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
            entered.set()
            assert leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(10)
    tries = iter([leave.set])

    def clock():
        # The first look at the clock, when the turn is not ours yet, lets the other one go.
        next(tries, lambda: None)()
        return 0.0

    add(database, 2, Deadline(5.0, 5.0, clock))
    thread.join(10)
    assert values(database) == [1, 2]


def test_a_lock_that_ends_within_the_deadline_is_no_error(database, tmp_path):
    """The retry: SQLite gives up after its own wait, the deadline has not passed."""
    holder = sqlite3.connect(tmp_path / "state" / "s.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    looks = []

    def clock():
        looks.append(1)
        if len(looks) == 3:
            holder.execute("ROLLBACK")
        return 4.999

    add(database, 1, Deadline(5.0, 5.0, clock))
    holder.close()
    assert len(looks) >= 3
    assert values(database) == [1]


def test_a_failure_names_no_path_no_sql_and_no_value(database):
    add(database, 4711)
    with pytest.raises(ProviderError) as caught:
        add(database, 4711)
    assert caught.value.message == (
        "the state store failed (SQLITE_CONSTRAINT_UNIQUE); nothing was written"
    )
    assert isinstance(caught.value.__cause__, IntegrityError)
    assert "4711" not in caught.value.message


def test_a_file_that_is_no_database_is_a_failure(tmp_path):
    path = tmp_path / "s.db"
    path.write_bytes(b"no database, but a text that is long enough to be looked at" * 20)
    opened = open_file(path)
    with pytest.raises(ProviderError, match=r"the state store failed \(SQLITE_NOTADB\)"):
        values(opened)
    opened.close()


def test_any_other_error_is_named_by_its_class():
    assert failure_of(sqlite3.ProgrammingError("x")).message.startswith(
        "the state store failed (ProgrammingError)"
    )
    assert not is_busy(ValueError())


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        open_file(tmp_path / "file" / "sub" / "s.db")
    with pytest.raises(FileExistsError):
        open_file(tmp_path / "file" / "s.db")


def test_a_read_only_folder_is_an_os_error(tmp_path, monkeypatch):
    """Asked of the system call, because root may write everywhere."""
    (tmp_path / "s.db").write_bytes(b"")
    monkeypatch.setattr(os, "access", lambda path, how: path != tmp_path)
    with pytest.raises(PermissionError, match="not writable"):
        open_file(tmp_path / "s.db")


def test_threads_use_connections_of_their_own(database):
    failures = []

    def work(number):
        try:
            for step in range(10):
                add(database, number * 100 + step)
        except ProviderError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(values(database)) == 120


def test_a_forked_child_opens_its_own_connections_and_leaves_the_parents_alone(database):
    add(database, 1)
    engine = database.engine
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        verdict = b"failed"
        with contextlib.suppress(BaseException):
            add(database, 2)
            if database.engine is not engine and values(database) == [1, 2]:
                verdict = b"well"
        os.write(writing, verdict)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"well"
    os.waitpid(child, 0)
    assert database.engine is engine
    add(database, 3)
    assert values(database) == [1, 2, 3]


def test_an_inherited_engine_is_neither_used_nor_closed(database, monkeypatch):
    """The same in one process, which is told that it is another one."""
    engine = database.engine
    monkeypatch.setattr(os, "getpid", lambda: -1)
    add(database, 1)
    assert database.engine is not engine
    assert engine in database_module._inherited
    database_module._inherited.remove(engine)
    engine.dispose()


def test_a_new_file_that_another_one_sets_up_is_waited_for(tmp_path):
    path = tmp_path / "s.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    waiting = sqlite3.connect(path, isolation_level=None, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        database_module._use_wal(waiting, Deadline(1.0, 1.0, lambda: 1.0))
    looks = []

    def clock():
        looks.append(1)
        if len(looks) == 2:
            holder.execute("ROLLBACK")
        return 0.0

    database_module._use_wal(waiting, Deadline(1.0, 1.0, clock))
    assert waiting.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    holder.close()
    waiting.close()


def test_eight_processes_open_a_new_file_at_once_and_no_update_is_lost(tmp_path):
    path, times = tmp_path / "new" / "s.db", 10
    command = [sys.executable, "-m", "tests.runbooks.opener", str(path), str(times)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    assert [child.stdout.readline() for child in children] == ["ready\n"] * 8
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.communicate(timeout=60)[0] for child in children] == ["done\n"] * 8
    opened = open_file(path)
    with opened.reading() as connection:
        assert connection.exec_driver_sql("SELECT value FROM counter").scalar() == 8 * times
    opened.close()

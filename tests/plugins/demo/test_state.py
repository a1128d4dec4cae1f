"""The shared database: one seed and one anchor, whoever comes first; reset; what is refused."""

import contextlib
import datetime
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest

from opsorch.errors import InvalidConfig, ProviderError
from opsorch.plugin.testing import run_plugin
from opsorch_plugins.demo.incidents import DemoIncidents
from opsorch_plugins.demo.settings import DEMO_CONFIG, FILE_NAME, DemoSettings, hindrance
from opsorch_plugins.demo.state import DemoState, forget_states, reset, state_for
from opsorch_plugins.demo.tables import demo_meta
from tests.plugins.demo.support import ANCHOR, minutes, text

LATE = ANCHOR + datetime.timedelta(seconds=41, microseconds=5)

# Opens the folder when told to, and prints what it sees of the world.
OPENER = """
import json, sys
from opsorch_plugins.demo.settings import DEMO_CONFIG, DemoSettings
from opsorch_plugins.demo.state import state_for
settings = DemoSettings.of(DEMO_CONFIG.parse({"dataDir": sys.argv[1]}))
print("ready", flush=True)
sys.stdin.readline()
state = state_for(settings)
with state.read() as connection:
    names = ("incidents", "timeline", "tickets", "runs", "steps", "events", "demo_meta")
    counts = {n: connection.exec_driver_sql(f"SELECT count(*) FROM {n}").scalar() for n in names}
print(json.dumps([state.anchor.isoformat(), counts]), flush=True)
"""


def settings(folder, **config):
    return DemoSettings.of(DEMO_CONFIG.parse({"dataDir": str(folder), **config}))


def count(state, table):
    with state.read() as connection:
        return connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()


@pytest.mark.case("demo", 11)
def test_eight_processes_on_an_empty_folder_make_one_seed_and_one_anchor(tmp_path):
    """Invariant 11."""
    command = [sys.executable, "-c", OPENER, str(tmp_path / "new")]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    assert [child.stdout.readline() for child in children] == ["ready\n"] * 8
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    seen = [json.loads(child.communicate(timeout=60)[0]) for child in children]
    assert seen == [seen[0]] * 8
    anchor, counts = seen[0]
    assert datetime.datetime.fromisoformat(anchor).second == 0
    assert (counts["incidents"], counts["runs"], counts["demo_meta"]) == (18, 5, 4)


def test_threads_that_open_at_once_share_one_state(tmp_path):
    barrier, states = threading.Barrier(8), []
    here = settings(tmp_path)

    def work():
        barrier.wait(10)
        states.append(state_for(here))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(states) == 8
    assert len({id(state) for state in states}) == 1
    assert count(states[0], "incidents") == 18


def test_the_anchor_is_the_minute_of_the_first_seeding_and_stays(tmp_path):
    here = settings(tmp_path)
    assert state_for(here, lambda: LATE).anchor == ANCHOR
    forget_states()
    assert state_for(here, lambda: LATE + minutes(90)).anchor == ANCHOR


def test_a_configured_anchor_is_kept_exactly(tmp_path):
    state = state_for(settings(tmp_path, anchor=text(LATE)), lambda: ANCHOR)
    assert state.anchor == LATE


def test_a_state_is_opened_once_and_anew_after_forgetting(tmp_path):
    here = settings(tmp_path)
    state = state_for(here)
    assert state_for(settings(tmp_path)) is state
    forget_states()
    assert state_for(here) is not state


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({"seed": "a"}, {"seed": "b"}, "field seed:"),
        ({"anchor": text(ANCHOR)}, {"anchor": text(LATE)}, "field anchor:"),
        ({"anchor": text(ANCHOR)}, {}, "field anchor:"),
        ({"anchor": text(ANCHOR)}, {"seed": "b"}, "field seed, field anchor:"),
    ],
)
def test_another_seed_or_anchor_is_refused_by_name_and_never_by_value(
    tmp_path, first, second, named
):
    state_for(settings(tmp_path, **first))
    with pytest.raises(InvalidConfig) as caught:
        state_for(settings(tmp_path, **second))
    assert caught.value.message.startswith(f"demo config: {named} the database in dataDir")
    assert text(ANCHOR) not in caught.value.message
    state_for(settings(tmp_path, **first))


def test_the_recorded_anchor_may_be_configured_afterwards(tmp_path):
    state_for(settings(tmp_path), lambda: LATE)
    assert state_for(settings(tmp_path, anchor=text(ANCHOR))).anchor == ANCHOR


def test_a_mismatch_is_no_obstacle_for_whoever_has_it_right(tmp_path):
    right = state_for(settings(tmp_path, seed="a"))
    with pytest.raises(InvalidConfig):
        state_for(settings(tmp_path, seed="b"))
    assert count(right, "incidents") == 18


def test_what_hinders_the_database_is_told_beforehand(tmp_path, monkeypatch):
    """Whoever asks finds out what a call would; of root, access() is the one that tells."""
    assert hindrance({}, tmp_path / "new" / "below") == ""
    assert hindrance({"dataDir": str(tmp_path)}, "/dev/null") == ""
    assert "(Not a directory)" in hindrance({}, "/dev/null")
    with pytest.raises(InvalidConfig):
        hindrance({"anchor": "never"}, tmp_path)
    (tmp_path / FILE_NAME).touch(0o400)
    monkeypatch.setattr(os, "access", lambda place, mode: not mode & os.W_OK)
    assert "(Permission denied)" in hindrance({}, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("place", ["file", "file/sub", FILE_NAME])
def test_a_folder_that_cannot_be_is_refused_and_named(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / FILE_NAME).write_text("")
    with pytest.raises(InvalidConfig) as caught:
        state_for(settings(tmp_path / place))
    assert caught.value.message.startswith("demo config: field dataDir: ")
    assert str(tmp_path / place) in caught.value.message


def test_a_folder_that_is_read_only_is_refused_and_named(tmp_path, monkeypatch):
    """Asked of the system call, because root may write everywhere."""
    monkeypatch.setattr(os, "access", lambda path, how: path != tmp_path)
    with pytest.raises(
        InvalidConfig, match=r"field dataDir: .* cannot be written \(not writable\)"
    ):
        state_for(settings(tmp_path))


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    content = b"a letter, and no database at all; long enough to be looked at" * 20
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(InvalidConfig, match="cannot be opened as a database"):
        state_for(settings(tmp_path))
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_a_folder_that_another_one_holds_is_busy_and_not_misconfigured(tmp_path, monkeypatch):
    monkeypatch.setattr("opsorch.runbooks.database.BUSY_TIMEOUT_S", 0.05)
    (tmp_path / FILE_NAME).touch(0o600)
    holder = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ProviderError, match="state store busy") as caught:
        state_for(settings(tmp_path))
    assert caught.value.code == "provider_error"
    holder.execute("ROLLBACK")
    assert count(state_for(settings(tmp_path)), "incidents") == 18
    holder.close()


def test_a_database_of_another_release_is_refused(tmp_path):
    state = state_for(settings(tmp_path))
    with state.begin() as connection:
        here = demo_meta.c.key == "schema_version"
        connection.execute(demo_meta.update().where(here).values(value="99"))
    forget_states()
    with pytest.raises(InvalidConfig, match=r"its demo\.db is of another release"):
        state_for(settings(tmp_path))
    reset(settings(tmp_path))
    assert count(state_for(settings(tmp_path)), "incidents") == 18


def test_a_seeding_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(connection, world):
        raise LookupError

    monkeypatch.setattr("opsorch_plugins.demo.state.seed_runs", fail)
    with pytest.raises(LookupError):
        DemoState(settings(tmp_path))
    monkeypatch.undo()
    assert count(state_for(settings(tmp_path)), "incidents") == 18


def test_folder_and_files_are_the_owners_alone(tmp_path):
    folder = tmp_path / "deep" / "data"
    state_for(settings(folder))
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in os.listdir(folder)}
    assert modes[FILE_NAME] == 0o600
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_write_transaction_that_raises_writes_nothing(tmp_path):
    state = state_for(settings(tmp_path))
    with contextlib.suppress(LookupError), state.begin() as connection:
        connection.exec_driver_sql("DELETE FROM tickets")
        raise LookupError
    assert count(state, "tickets") == 16


def test_reset_throws_away_what_was_written_and_takes_a_new_anchor(tmp_path):
    here = settings(tmp_path)
    state = state_for(here, lambda: LATE)
    with state.begin() as connection:
        connection.exec_driver_sql("DELETE FROM tickets")
        connection.exec_driver_sql("DELETE FROM runs")
    reset(here, lambda: LATE + minutes(60))
    assert state.anchor == ANCHOR + minutes(60), "an open state sees the new world"
    assert (count(state, "tickets"), count(state, "runs"), count(state, "incidents")) == (16, 5, 18)


def test_reset_takes_another_seed_and_makes_a_new_folder_too(tmp_path):
    old = state_for(settings(tmp_path, seed="a"))
    reset(settings(tmp_path, seed="b"))
    with pytest.raises(InvalidConfig, match="field seed"), old.read() as connection:
        old.world(connection, ANCHOR)
    assert count(state_for(settings(tmp_path, seed="b")), "incidents") == 18
    reset(settings(tmp_path / "new"))
    assert count(state_for(settings(tmp_path / "new")), "incidents") == 18


def test_the_world_knows_which_incidents_have_ended(tmp_path):
    state = state_for(settings(tmp_path, anchor=text(ANCHOR), environment="live", source="lab"))
    with state.read() as connection:
        world = state.world(connection, LATE)
    assert (world.anchor, world.now, world.environment, world.source) == (
        ANCHOR,
        LATE,
        "live",
        "lab",
    )
    assert "inc-001" in world.ended
    assert "inc-scenario-001" not in world.ended
    assert all(ended < ANCHOR for ended in world.ended.values())


@pytest.mark.case("demo", 14)
def test_a_write_through_one_process_is_seen_by_another_and_after_a_restart(tmp_path):
    """Invariant 14, for the state that all capabilities share."""
    config = {"dataDir": str(tmp_path)}
    with run_plugin(DemoIncidents) as one, run_plugin(DemoIncidents) as two:
        created = one.call("incident.create", {"title": "t"}, config=config)["result"]
        get = {"id": created["id"]}
        assert two.call("incident.get", get, config=config)["result"] == created
    with run_plugin(DemoIncidents) as three:
        assert three.call("incident.get", get, config=config)["result"] == created


def test_a_home_that_is_nobodys_is_told_by_its_field() -> None:
    with pytest.raises(InvalidConfig, match="dataDir names the home of a user who is not known"):
        DEMO_CONFIG.parse({"dataDir": "~nobody-of-this-name/x"})
    at_home = DEMO_CONFIG.parse({"dataDir": "~/x"})["dataDir"]
    assert at_home == os.path.expanduser("~/x")

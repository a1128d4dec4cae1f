"""Folders that a killed gateway must not leave behind."""

import os
import pathlib
import signal
import subprocess
import sys

from opsorch.gateway.scratch import make_folder

HOLDER = """
import sys
from pathlib import Path
from opsorch.gateway.scratch import make_folder
print(make_folder("scratch-", Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_a_folder_lives_as_long_as_its_gateway(tmp_path: pathlib.Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        theirs = pathlib.Path(holder.stdout.readline().strip())
        (theirs / "counter.db").touch()
        make_folder("scratch-", tmp_path)
        assert (theirs / "counter.db").exists()
        holder.send_signal(signal.SIGKILL)
    mine = pathlib.Path(make_folder("scratch-", tmp_path))
    assert not theirs.exists()
    assert mine.is_dir() and mine.stat().st_mode & 0o777 == 0o700


def test_what_is_not_a_gateways_stays(tmp_path: pathlib.Path) -> None:
    unlocked = tmp_path / "scratch-of-somebody"
    unlocked.mkdir()
    (tmp_path / "scratch-file").touch()
    (tmp_path / "other").mkdir()
    made = make_folder("scratch-", tmp_path)
    expected = {"scratch-of-somebody", "scratch-file", "other", os.path.basename(made)}
    assert set(os.listdir(tmp_path)) == expected

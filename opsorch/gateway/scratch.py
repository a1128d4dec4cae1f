"""Folders for the life of one gateway, that a killed one does not leave behind for ever.

The gateway that made a folder holds a lock in it, which the kernel drops with the last of its
processes; the next gateway removes what nobody holds.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_LOCK: Final = "lock"


def make_folder(prefix: str, parent: Path | None = None) -> str:
    """Make a folder of this process and its forks; remove those of gateways that are gone.

    Args:
        prefix: Of its name.
        parent: Where; the system's place for temporary files where absent.
    """
    where = parent or Path(tempfile.gettempdir())
    for left in where.glob(f"{prefix}*"):
        _remove_if_left(left)
    # Under another name until it is locked, so that no other gateway takes it for a left one.
    new = tempfile.mkdtemp(prefix=f".{prefix}", dir=where)
    descriptor = os.open(os.path.join(new, _LOCK), os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    made = os.path.join(where, os.path.basename(new).removeprefix("."))
    os.rename(new, made)
    return made


def _remove_if_left(folder: Path) -> None:
    # Another user's cannot be opened; what has no lock is none of ours.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(descriptor)

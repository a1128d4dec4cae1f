"""The files of the metrics, one set a worker: read together, and added up when a worker is gone.

Without the adding up, every worker that is recycled would leave files behind: the page would take
longer with each, and memory would fill up. A lock keeps a page from seeing a sum and its part.
"""

import contextlib
import fcntl
import glob
import os
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client import multiprocess
from prometheus_client.mmap_dict import MmapedDict

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_ADDED_UP: Final = ("counter", "histogram")
_GONE: Final = "gone"
_LOCK: Final = "page.lock"


class FileCollector(multiprocess.MultiProcessCollector):
    """Reads what all workers have counted."""

    def collect(self) -> Iterable[Any]:
        """Return every metric, the workers' values added up."""
        with _locked(self._path, fcntl.LOCK_SH):
            files = glob.glob(os.path.join(self._path, "*.db"))
            # A file is empty for the moment between its making and its first growth.
            whole = [path for path in files if _size(path)]
            merged: Iterable[Any] = self.merge(whole)  # type: ignore[no-untyped-call]
            return merged


def forget_worker(pid: int) -> None:
    """Drop the gauges of a worker that ended; add its counts to those of all that ended before.

    Never waits: while a page is being read, the files stay for the next time.
    """
    folder = os.environ[FOLDER]
    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
    with contextlib.suppress(BlockingIOError), _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for kind in _ADDED_UP:
            for path in glob.glob(os.path.join(folder, f"{kind}_*.db")):
                owner = path.removesuffix(".db").rpartition("_")[2]
                if owner != _GONE and not os.path.exists(f"/proc/{owner}"):
                    _add_up(path, os.path.join(folder, f"{kind}_{_GONE}.db"))


def _add_up(path: str, sums_path: str) -> None:
    try:
        values = list(MmapedDict.read_all_values_from_file(path))  # type: ignore[no-untyped-call]
    except (struct.error, RuntimeError):
        # The worker ended before it counted anything, or its file is damaged.
        values = []
    sums = MmapedDict(sums_path)  # type: ignore[no-untyped-call]
    for key, value, _, _ in values:
        before, _ = sums.read_value(key)  # type: ignore[no-untyped-call]
        sums.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
    sums.close()  # type: ignore[no-untyped-call]
    os.unlink(path)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def _locked(folder: str, how: int) -> Iterator[None]:
    descriptor = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)

"""What a worker does about memory."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from opsorch.gateway import memory
from tests.harness import clean_environ

LOOKS_AT_THE_ALLOCATOR = """
import ctypes, os
from opsorch.gateway.memory import keep_freed_memory

class Usage(ctypes.Structure):  # mallinfo2(3)
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

look = ctypes.CDLL(None).mallinfo2
look.restype = Usage
keep_freed_memory()
before = look()
block = bytes(4 * 2**20)
during = look()
del block
print(during.hblks - before.hblks, look().keepcost >= 4 * 2**20)
"""


@pytest.mark.parametrize(
    ("environ", "seen"),
    [({}, "0 True"), ({"MALLOC_MMAP_THRESHOLD_": "1000000"}, "1 False")],
    ids=["by itself", "the environment's word counts"],
)
def test_the_memory_of_a_large_result_is_kept(environ: dict[str, str], seen: str) -> None:
    """A block of 4 MiB is no mapping of its own, and stays with the process when it is freed."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKS_AT_THE_ALLOCATOR],
        env={**clean_environ(), **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == seen


def test_a_library_without_such_switches_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    libraries = iter([SimpleNamespace(), SimpleNamespace(mallopt=lambda *it: asked.append(it))])
    monkeypatch.setattr(ctypes, "CDLL", lambda name: next(libraries))
    memory.keep_freed_memory()
    assert asked == []
    memory.keep_freed_memory()
    assert len(asked) == 3

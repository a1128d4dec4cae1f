"""What a worker does about memory: few looks for garbage, and some kept for the next result."""

import ctypes
import gc
import os
from typing import Final

# Objects made until garbage is looked for.
GARBAGE_THRESHOLD: Final = 10_000
# Switches of glibc's allocator (mallopt(3)): variable, number in malloc.h, value.
_ALLOCATOR: Final = (
    # Threads allocate in turns anyway; what is kept is kept once.
    ("MALLOC_ARENA_MAX", -8, 1),
    # Blocks of fewer bytes come from memory that was used before.
    ("MALLOC_MMAP_THRESHOLD_", -3, 8 * 2**20),
    # So many free bytes stay with the process.
    ("MALLOC_TRIM_THRESHOLD_", -1, 32 * 2**20),
)


def look_for_garbage_rarely() -> None:
    """Spare the collector what lives for ever, and large results.

    A result of 5,000 log entries is 20,000 objects, none of them garbage before it is encoded; with
    Python's own threshold of 700 the looks are a quarter of what it costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)


def keep_freed_memory() -> None:
    """Have the allocator keep the memory of a large result for the next one.

    To fetch it anew from the system, page by page, is a sixth of what such a result costs. What the
    environment sets already stays; other libraries than glibc have no such switches.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for variable, number, value in _ALLOCATOR:
            if variable not in os.environ:
                mallopt(number, value)

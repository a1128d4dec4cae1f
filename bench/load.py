"""Load: many callers at once, each with a connection and a thread of its own."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def together(count: int, work: Callable[[int], T]) -> list[T]:
    """Run the work in so many threads at once; returns results in order, or raises the first."""
    futures: list[Future[T]] = [Future() for _ in range(count)]

    def run(number: int) -> None:
        try:
            futures[number].set_result(work(number))
        except BaseException as exc:  # noqa: BLE001  The caller of together() gets it.
            futures[number].set_exception(exc)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [future.result() for future in futures]


def until(at: float, work: Callable[[], T]) -> list[T]:
    """Do the work again and again until an instant of the monotonic clock; returns its results."""
    results = []
    while time.monotonic() < at:
        results.append(work())
    return results

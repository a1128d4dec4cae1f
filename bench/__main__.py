"""``python -m bench`` runs every measurement, ``python -m bench NAME`` one of them."""

import sys
from collections.abc import Callable

from rich.console import Console

from bench import overhead, procs, results, soak, throughput, timeouts

BENCHES: dict[str, Callable[[list[str] | None], None]] = {
    "results": results.main,
    "overhead": overhead.main,
    "timeouts": timeouts.main,
    "throughput": throughput.main,
}
# Runs for minutes: only on request.
LONG: dict[str, Callable[[list[str] | None], None]] = {"soak": soak.main}


def main(arguments: list[str]) -> None:
    """Run what is named; all where nothing is."""
    name, *options = arguments or [""]
    known = {**BENCHES, **LONG}
    if name in known:
        known[name](options)
        return
    if name:
        names = ", ".join(known)
        sys.exit(f"There is no measurement {name!r}; there are: {names}.")
    Console().print(", ".join(f"{what}: {fact}" for what, fact in procs.machine().items()), "\n")
    for measure in BENCHES.values():
        measure([])


if __name__ == "__main__":
    main(sys.argv[1:])

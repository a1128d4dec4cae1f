"""Plans from a folder of files: found by their content, read again only when they change."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from opsorch.errors import InvalidConfig, NotFound, ProviderError
from opsorch.runbooks.planfile import PlanInvalid, parse_plan
from opsorch.runbooks.plans import Plan
from opsorch.runbooks.yamltree import MAX_BYTES, Problem

log = logging.getLogger("opsorch.runbooks")

SUFFIXES: Final = (".yaml", ".yml")

# A file is read again when one of these changes: modification time in ns, size, inode.
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Read:
    """What a file held when it was last read: a plan, or what is wrong with it."""

    stamp: Stamp
    found: Plan | PlanInvalid


@dataclass(frozen=True, slots=True)
class _Index:
    """What a folder holds: plans by id, bad files by their would-be id, files that share an id."""

    plans: dict[str, Plan]
    bad: dict[str, PlanInvalid]
    shared: dict[str, list[str]]


class PlanFolder:
    """The plans of one folder. Safe for threads; every call lists the folder anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[str, _Read] = {}
        self._warned: dict[str, list[str]] = {}

    def plans(self) -> list[Plan]:
        """Return the valid plans by id; bad files and files with a shared id are left out.

        Raises:
            ProviderError: The folder cannot be read.
        """
        index = self._index()
        return [index.plans[plan_id] for plan_id in sorted(index.plans)]

    def plan(self, plan_id: str) -> Plan:
        """Return one plan.

        Raises:
            NotFound: No file has it.
            InvalidConfig: Its file is bad (a PlanInvalid), or several files have this id.
            ProviderError: The folder cannot be read.
        """
        index = self._index()
        plan = index.plans.get(plan_id)
        if plan is not None:
            return plan
        if plan_id in index.shared:
            raise InvalidConfig(_shared_text(plan_id, index.shared[plan_id]))
        if plan_id in index.bad:
            bad = index.bad[plan_id]
            raise PlanInvalid(bad.file, bad.plan_id, bad.problems)
        raise NotFound(f"plan {plan_id} not found")

    def problems(self) -> list[str]:
        """Return what keeps files from being listed, one text a file or shared id.

        Raises:
            ProviderError: The folder cannot be read.
        """
        shared = [_shared_text(*item) for item in sorted(self._index().shared.items())]
        found = [read.found for _, read in sorted(self._read.items())]
        return [bad.message for bad in found if isinstance(bad, PlanInvalid)] + shared

    def _index(self) -> _Index:
        index = _Index({}, {}, {})
        files: dict[str, list[str]] = {}
        for name, read in self._refreshed().items():
            found = read.found
            if isinstance(found, PlanInvalid):
                index.bad.setdefault(found.plan_id, found)
            else:
                files.setdefault(found.id, []).append(name)
                index.plans[found.id] = found
        for plan_id, names in files.items():
            if len(names) > 1:
                del index.plans[plan_id]
                index.shared[plan_id] = sorted(names)
        for plan_id, names in index.shared.items():
            if self._warned.get(plan_id) != names:
                log.warning("%s", _shared_text(plan_id, names))
        self._warned = index.shared
        return index

    def _refreshed(self) -> dict[str, _Read]:
        """Return what each file holds; unchanged files are not read again."""
        before, now = self._read, {}
        try:
            for name, stamp in self._files():
                known = before.get(name)
                fresh = known is not None and known.stamp == stamp
                now[name] = known if known and fresh else self._read_file(name, stamp)
        except OSError as exc:
            raise ProviderError(f"the plan folder cannot be read ({exc.strerror})") from exc
        self._read = now
        return now

    def _files(self) -> Iterator[tuple[str, Stamp]]:
        """Yield the plan files in order of their names; links that leave the folder are none."""
        root = os.path.realpath(self._path)
        for name in sorted(os.listdir(root)):
            path = os.path.join(root, name)
            if name.startswith(".") or not name.endswith(SUFFIXES) or not os.path.isfile(path):
                continue
            if os.path.commonpath((root, os.path.realpath(path))) != root:
                continue
            stat = os.stat(path)
            yield name, (stat.st_mtime_ns, stat.st_size, stat.st_ino)

    def _read_file(self, name: str, stamp: Stamp) -> _Read:
        try:
            with (self._path / name).open("rb") as file:
                source = file.read(MAX_BYTES + 1)
            return _Read(stamp, parse_plan(source, name).with_origin(file=name))
        except PlanInvalid as bad:
            found = bad
        except OSError as exc:
            problem = Problem(0, f"cannot be read ({exc.strerror})")
            found = PlanInvalid(name, Path(name).stem, [problem])
        log.warning("%s", found.message)
        return _Read(stamp, found)


def _shared_text(plan_id: str, names: list[str]) -> str:
    return f"plan {plan_id} stands in several files, so none of them counts: {', '.join(names)}"

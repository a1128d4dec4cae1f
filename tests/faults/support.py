"""What the fault tests share: plugin scripts, a supervised provider in this process, waiting."""

import json
import os
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest

from opsorch.deadline import Deadline
from opsorch.errors import STATUS_OF_CODE, OpsOrchError
from opsorch.observability.events import EVENTS
from opsorch.observability.metrics import Metrics
from opsorch.providers.base import CallContext, telling
from opsorch.providers.supervised import SupervisedProvider
from opsorch.supervisor.backoff import Breaker
from opsorch.supervisor.launch import OWNER_VARIABLE
from opsorch.supervisor.spec import PluginSpec
from opsorch.supervisor.strays import owner_mark
from opsorch.supervisor.supervisor import Supervisor
from tests import processes

PLUGINS = pathlib.Path(__file__).parent / "plugins"
# Generous: what is bounded by it takes milliseconds on an idle machine.
SOON_S = 5.0
T = TypeVar("T")


def eventually(condition: Callable[[], T], within_s: float = 10.0) -> T:
    """Wait until the condition holds and return its value; fail where it does not in time."""
    until = time.monotonic() + within_s
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f"it did not come to hold within {within_s} s"
        pause.wait(0.005)


def install(folder: pathlib.Path, name: str, *, mode: int = 0o755) -> str:
    """Put the script of tests/faults/plugins into a folder, run by this interpreter."""
    source = PLUGINS / f"{name}.py"
    target = folder / name
    # A file that is open for writing cannot be executed by a process forked meanwhile.
    fresh = folder / f".{name}.new"
    fresh.write_text(f"#!{sys.executable} -S\n{source.read_text()}")
    fresh.chmod(mode)
    fresh.replace(target)
    return str(target)


def together(count: int, work: Callable[[int], T]) -> list[T | BaseException]:
    """Run the work in so many threads at once; returns results or exceptions, in order."""
    futures: list[Future[T]] = [Future() for _ in range(count)]
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        try:
            futures[number].set_result(work(number))
        except BaseException as exc:
            futures[number].set_exception(exc)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a caller hangs"
    return [future.exception() or future.result() for future in futures]


def descriptors() -> int:
    """Count the open descriptors of this process, but for looks into /proc, as for strays."""
    return sum(not target.startswith("/proc/") for target in processes.descriptors())


def own_threads() -> set[threading.Thread]:
    """The threads that run now, without the supervisor's two, which stay for ever."""
    return {t for t in threading.enumerate() if not t.name.startswith("opsorch-")}


class Recorder:
    """Takes events: keeps them, counts them as the gateway does, and checks their form."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.metrics = Metrics()
        self.unfit: list[str] = []

    def __call__(self, event: str, /, **facts: object) -> None:
        self.metrics.note(event, facts)
        if event not in EVENTS or not set(facts) - {"exc_info"} <= set(EVENTS[event].facts):
            self.unfit.append(f"{event} {sorted(facts)}")
        self.told.append((event, facts))

    def named(self, event: str) -> list[dict[str, Any]]:
        """The facts of every event of this name, oldest first."""
        return [facts for name, facts in list(self.told) if name == event]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        self.metrics._settle()
        return sum(
            sample.value
            for family in self.metrics._registry.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def tell(self, event: str, metric: str, times: int = 1, **labels: str) -> None:
        """Check that events of this name, and this metric, tell of what happened so often."""
        assert len(self.named(event)) == times
        assert self.metric(metric, **labels) == times


class Rig:
    """Plugins under one supervisor in this process. Use the fixture ``rig``."""

    def __init__(self, supervisor: Supervisor, events: Recorder, folder: pathlib.Path) -> None:
        self.supervisor = supervisor
        self.events = events
        self.folder = folder

    def provider(
        self,
        script: str,
        *arguments: str,
        config: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        **limits: Any,
    ) -> SupervisedProvider:
        """Make a provider of a script of tests/faults/plugins, or of the file at a path.

        Args:
            script: Name, or path.
            arguments: Of the plugin's command line.
            config: Configuration sent with each request.
            environ: Further variables.
            limits: Further fields of PluginSpec.
        """
        path = script if "/" in script else install(self.folder, script)
        spec = PluginSpec(
            label=limits.pop("label", "alert"),
            command=(path, *arguments),
            setting="OPSORCH_ALERT_PLUGIN",
            prefix="OPSORCH_ALERT_",
            environ={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **(environ or {})},
            **limits,
        )
        pool = self.supervisor.pool(spec)
        return SupervisedProvider(script, spec.label, config or {}, pool, self.events)

    def call(
        self,
        provider: SupervisedProvider,
        payload: Any = None,
        *,
        method: str = "alert.query",
        timeout_s: float = 20.0,
        repeatable: bool = True,
    ) -> Any:
        """Make one call and return its result, decoded. Whatever happens, it ends in time."""
        deadline = Deadline.after(timeout_s)
        context = CallContext(deadline, "request-1", "tester")
        data = json.dumps(payload).encode()
        began = time.monotonic()
        try:
            with telling(self.events, provider.pool.spec.label, method, deadline):
                raw = provider.call(method, data, context, repeatable=repeatable)
        finally:
            assert time.monotonic() - began < timeout_s + SOON_S, "a call outlived its deadline"
        return json.loads(bytes(raw))

    def refused(
        self, provider: SupervisedProvider, payload: Any = None, **options: Any
    ) -> OpsOrchError:
        """Make one call that must fail; returns its error, which an event and a metric tell."""
        with pytest.raises(OpsOrchError) as caught:
            self.call(provider, payload, **options)
        error = caught.value
        code = error.code if error.code in STATUS_OF_CODE else "other"
        assert code in [facts["code"] for facts in self.events.named("call.finished")]
        assert self.events.metric("opsorch_plugin_call_duration_seconds_count", code=code)
        return error


class Clock:
    """A clock for one pool's backoff that stands still until a test moves it."""

    def __init__(self, provider: SupervisedProvider) -> None:
        self.now_s = 0.0
        provider.pool.starts._breaker = Breaker(clock=lambda: self.now_s, jitter=lambda: 0.0)


def left_by_plugins() -> list[int]:
    """The pids of what plugins of this process started and left, in whatever group."""
    mark = f"{OWNER_VARIABLE}={owner_mark()}."
    return [
        pid
        for pid in processes.all_pids()
        if any(one.startswith(mark) for one in processes.environ(pid))
    ]


_EVENTS = Recorder()
# One for all tests: its two threads stay for the life of the process.
_SUPERVISOR = Supervisor(_EVENTS)


@pytest.fixture
def rig(tmp_path: pathlib.Path) -> Iterator[Rig]:
    """A supervisor that has no process, descriptor or thread left when the test is over."""
    _EVENTS.clear()
    before, threads = descriptors(), own_threads()
    yield Rig(_SUPERVISOR, _EVENTS, tmp_path)
    assert _SUPERVISOR.kill(within_s=10.0), "a process is left"
    eventually(lambda: not left_by_plugins())
    eventually(lambda: own_threads() <= threads)
    eventually(lambda: descriptors() <= before)
    assert not _EVENTS.named("keeper.failed")
    assert not _EVENTS.unfit

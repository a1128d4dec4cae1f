"""The providers of a gateway worker: found by their settings, replaced under load."""

import functools
import importlib.metadata
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from opsorch.capabilities import CAPABILITIES
from opsorch.config import CapabilitySettings, Settings
from opsorch.errors import InvalidConfig, OpsOrchError, PluginNotFound, ProviderMissing
from opsorch.observability.redact import redactor_for
from opsorch.plugin.provider import Provider as AdapterClass
from opsorch.plugin.serve import where
from opsorch.providers.admission import Admission
from opsorch.providers.base import LastError, Provider, Unavailable
from opsorch.providers.in_process import InProcessProvider
from opsorch.providers.supervised import SupervisedProvider
from opsorch.supervisor.launch import look_at_file, plugin_environment
from opsorch.supervisor.spec import Emit, PluginSpec
from opsorch.supervisor.supervisor import Supervisor

log = logging.getLogger("opsorch.providers")

BUNDLED: Final = "bundled:"
_GROUP: Final = "opsorch.providers."
_ALIASES: Final = "opsorch.provider_aliases"
_HINDRANCES: Final = "opsorch.provider_hindrances"
# Configuration field of the adapters that keep data.
_FOLDER: Final = "dataDir"


@functools.cache
def adapters(capability: str) -> Mapping[str, importlib.metadata.EntryPoint]:
    """Return the installed adapters of a capability by name, sorted, aliases left out."""
    found = importlib.metadata.entry_points(group=f"{_GROUP}{capability}")
    # Names of providers are read in lower case.
    by_name = {point.name.lower(): point for point in found}
    return {name: by_name[name] for name in sorted(by_name)}


@functools.cache
def _aliases() -> Mapping[str, str]:
    return {point.name: point.value for point in importlib.metadata.entry_points(group=_ALIASES)}


@functools.cache
def _hindrances() -> Mapping[str, importlib.metadata.EntryPoint]:
    found = importlib.metadata.entry_points(group=_HINDRANCES)
    return {point.name.lower(): point for point in found}


def adapter_named(capability: str, name: str) -> importlib.metadata.EntryPoint | None:
    """Return the adapter of this name or alias."""
    known = adapters(capability)
    return known.get(name) or known.get(_aliases().get(name, ""))


@dataclass
class Slot:
    """What answers for one capability now.

    Attributes:
        settings: What it was made from.
        admission: Bounds the calls under way.
        hindrance: Says what on this machine hinders an adapter of ours, "" where nothing does.
        last_error: The last failure of a call.
    """

    settings: CapabilitySettings
    provider: Provider
    admission: Admission
    hindrance: Callable[[], str] = lambda: ""
    last_error: LastError = field(default_factory=LastError)

    @property
    def configured(self) -> bool:
        """Tell whether anything is to answer for the capability."""
        return self.settings.configured

    def health(self) -> dict[str, Any]:
        """Tell what its provider tells, and what on this machine hinders it; starts nothing."""
        told = self.provider.health()
        reason = self.hindrance() if told.get("ready") else ""
        return {**told, "ready": False, "reason": reason} if reason else told


class Registry:
    """Every capability's slot. Safe for threads."""

    def __init__(self, settings: Settings, supervisor: Supervisor, emit: Emit) -> None:
        """Find every provider; starts nothing but what OPSORCH_PLUGIN_MIN_IDLE asks for."""
        self._settings = settings
        self._supervisor = supervisor
        self._emit = emit
        self._lock = threading.Lock()
        self._slots = {name: self._slot(settings.capabilities[name]) for name in CAPABILITIES}
        for name, slot in self._slots.items():
            if isinstance(slot.provider, Unavailable) and slot.configured:
                emit("capability.off", capability=name, reason=slot.provider.error.message)

    def __getitem__(self, capability: str) -> Slot:
        return self._slots[capability]

    @property
    def slots(self) -> Mapping[str, Slot]:
        """All slots by capability."""
        return dict(self._slots)

    def replace(self, settings: CapabilitySettings) -> None:
        """Put another provider in a capability's place.

        New calls go to the new one; calls under way finish on the old one.

        Raises:
            OpsOrchError: The new settings cannot work; the old provider stays.
        """
        slot = self._slot(settings)
        if isinstance(slot.provider, Unavailable):
            raise slot.provider.copy_of_error()
        if isinstance(slot.provider, SupervisedProvider):
            _look_at(slot.provider)
        with self._lock:
            old, self._slots[settings.name] = self._slots[settings.name], slot
        old.provider.drain()

    def _slot(self, own: CapabilitySettings) -> Slot:
        hindrance = functools.partial(_hindrance, own, self._settings.data_dir)
        admission = Admission(own.name, own.max_concurrency)
        return Slot(own, self._provider(own), admission, hindrance)

    def _provider(self, own: CapabilitySettings) -> Provider:
        if not own.configured:
            return Unavailable("", _missing(own), configured=False)
        label = own.plugin or own.provider
        if own.fault:
            return Unavailable(label, InvalidConfig(f"{own.fault}."))
        if not own.plugin:
            return _in_process(self._settings, own)
        command = _command_of(own)
        if command is None:
            return Unavailable(label, _no_such_bundle(own))
        pool = self._supervisor.pool(_spec(self._settings, own, command))
        return SupervisedProvider(label, own.name, own.config, pool, self._emit)


def fault_of(settings: Settings, capability: str) -> str:
    """Say why nothing can answer for a configured capability, "" where something can.

    Looks at names, files, the fields that an adapter of ours wants, and what it needs of this
    machine; starts nothing.
    """
    own = settings.capabilities[capability]
    if own.fault or not own.configured:
        return own.fault
    try:
        if own.plugin and not own.plugin.startswith(BUNDLED):
            look_at_file(_spec(settings, own, _command_of(own) or ()))
        else:
            _adapter_of(own).config.parse(own.config)
    except OpsOrchError as fault:
        return fault.message
    return _hindrance(own, settings.data_dir)


def _hindrance(own: CapabilitySettings, data_dir: Path) -> str:
    """Say what on this machine hinders an adapter of ours, "" where nothing does.

    An adapter names the function that tells by an entry point of its own: to ask it, no more of
    the adapter is imported.
    """
    if own.plugin and not own.plugin.startswith(BUNDLED):
        return ""
    adapter = adapter_named(own.name, own.plugin.removeprefix(BUNDLED) or own.provider)
    point = _hindrances().get(adapter.name.lower()) if adapter else None
    if point is None:
        return ""
    try:
        return str(point.load()(own.config, data_dir))
    except OpsOrchError as fault:
        return fault.message
    except Exception as exc:  # noqa: BLE001  It is a defect of the question, not of the adapter.
        log.error("%s failed: %s", point.value, where(exc))
        return ""


def _spec(settings: Settings, own: CapabilitySettings, command: tuple[str, ...]) -> PluginSpec:
    environ = plugin_environment(settings.environ, also=own.env, data_dir=str(settings.data_dir))
    return PluginSpec(
        label=own.name,
        command=command,
        # Not the interpreter, which nobody configured.
        shown=own.plugin if own.plugin.startswith(BUNDLED) else "",
        setting=own.variable("PLUGIN"),
        # Those of one capability win over those of all.
        prefix=own.variable(""),
        environ=environ,
        redact=redactor_for(own.config, environ),
        pool_size=own.pool_size,
        min_idle=min(own.min_idle, own.pool_size),
        queue_timeout_s=own.queue_timeout_s,
        idle_timeout_s=own.idle_timeout_s,
        max_calls=own.max_calls,
        max_reply_bytes=own.max_reply_bytes,
        max_memory_mb=own.max_memory_mb,
        nice=own.nice,
    )


def _look_at(provider: SupervisedProvider) -> None:
    """Raise what hinders the plugin's file from being executed; its pool is given up then."""
    try:
        look_at_file(provider.pool.spec)
    except OpsOrchError:
        provider.drain()
        raise


def _missing(own: CapabilitySettings) -> ProviderMissing:
    return ProviderMissing(
        f"No provider is configured for {own.name!r}. Set {own.variable('PLUGIN')} to a plugin's"
        f" path or to bundled:<adapter>, or {own.variable('PROVIDER')} to an adapter's name.",
        capability=own.name,
    )


def _in_process(settings: Settings, own: CapabilitySettings) -> Provider:
    try:
        adapter = _adapter_of(own)
    except InvalidConfig as fault:
        return Unavailable(own.provider, fault)
    # A plugin finds the folder in its environment; the gateway's own does not hold what .env says.
    wants_folder = any(
        field.name == _FOLDER and field.given(own.config) is None for field in adapter.config.fields
    )
    folder = {_FOLDER: str(settings.data_dir)} if wants_folder else {}
    return InProcessProvider(own.provider, adapter, {**own.config, **folder})


def _adapter_of(own: CapabilitySettings) -> type[AdapterClass]:
    """Load the adapter of ours that is configured.

    Raises:
        PluginNotFound, InvalidConfig: There is none, or it cannot be loaded.
    """
    point = adapter_named(own.name, own.plugin.removeprefix(BUNDLED) or own.provider)
    if point is None:
        raise _no_such_bundle(own) if own.plugin else _no_such_adapter(own)
    try:
        loaded: type[AdapterClass] = point.load()
    except Exception as exc:
        # Whatever an adapter does when it is imported: it turns off its own capability alone.
        log.error("%s cannot be loaded: %s", point.value, where(exc))
        setting = own.variable("PLUGIN" if own.plugin else "PROVIDER")
        raise InvalidConfig(
            f"The adapter that {setting} names cannot be loaded ({type(exc).__name__}); the log"
            " says where. Is it installed whole?"
        ) from exc
    return loaded


def _command_of(own: CapabilitySettings) -> tuple[str, ...] | None:
    """Return the command of a plugin; None where no bundled adapter has the name."""
    if not own.plugin.startswith(BUNDLED):
        # The gateway's working directory, which the plugin does not share.
        # os.path's leaves the home of an unknown user as it stands; Path's would raise.
        return (os.fspath(Path(os.path.expanduser(own.plugin)).absolute()),)
    point = adapter_named(own.name, own.plugin.removeprefix(BUNDLED))
    if point is None:
        return None
    return (sys.executable, "-P", "-m", "opsorch.plugin.run", point.value)


def _no_such_adapter(own: CapabilitySettings) -> InvalidConfig:
    known = ", ".join(adapters(own.name)) or "none"
    return InvalidConfig(f"{own.variable('PROVIDER')} names no known adapter; there are: {known}.")


def _no_such_bundle(own: CapabilitySettings) -> PluginNotFound:
    known = ", ".join(f"{BUNDLED}{name}" for name in adapters(own.name)) or "none"
    return PluginNotFound(
        f"{own.variable('PLUGIN')} names no bundled adapter for {own.name!r}; there are: {known}."
    )

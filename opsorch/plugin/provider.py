"""What an adapter's class is: one provider of one capability, one method an RPC method."""

import contextlib
import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, TypeVar

from opsorch import __version__
from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, OpsOrchError
from opsorch.observability.redact import Redactor, redactor_for, secrets_in
from opsorch.plugin.config import TIMEOUT, ConfigSpec

log = logging.getLogger("opsorch.plugin")

# Without a deadline of the gateway (a plugin called by hand) the adapter's own setting rules.
DEFAULT_TIMEOUT_S: Final = 30.0
# A provider is built per configuration; a host has few, a fuzzer must not fill memory.
MAX_PROVIDERS: Final = 16

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Call:
    """What an RPC method may know of the call beside its payload.

    Attributes:
        deadline: The budget: look-ups, pages, waits and retries all end before it.
        request_id: The caller's request id, for the upstream's logs; may be "".
        actor: Id of the person or agent that calls, as claimed; may be "".
        traceparent: W3C trace context; may be "".
    """

    deadline: Deadline = field(default_factory=lambda: Deadline.after(DEFAULT_TIMEOUT_S))
    request_id: str = ""
    actor: str = ""
    traceparent: str = ""

    def within(self, seconds: float) -> "Call":
        """Return the same call with these seconds at most, and no more than it has left."""
        return replace(self, deadline=self.deadline.within(seconds))

    def within_share(self, share: float) -> "Call":
        """Return the same call with a share, up to 1, of the time that it has left."""
        return self.within(self.deadline.remaining() * share)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``plugin.check``: what was looked at, whether it is well, and what to do."""

    name: str
    ok: bool
    message: str = ""


def rpc(method: str) -> Callable[[Handler], Handler]:
    """Mark a method of a Provider as the one that answers ``method``.

    It is called with the payload (a dict; an absent or null payload is ``{}``) and the Call.
    """

    def mark(handler: Handler) -> Handler:
        handler.rpc_method = method  # type: ignore[attr-defined]  # a mark on a function
        return handler

    return mark


class Provider:
    """Base of every provider class.

    A subclass sets the class attributes and marks its methods with ``@rpc``. In a plugin process
    one thread calls it; in-process several threads share one object, so state needs a lock.

    Attributes:
        name: Name that OPSORCH_<CAP>_PROVIDER takes.
        capability: The capability it serves.
        config: The declaration of its configuration.
        settings: The parsed configuration, by field name.
        redact: Takes this configuration's secrets out of a text.
    """

    name: ClassVar[str]
    capability: ClassVar[str]
    config: ClassVar[ConfigSpec]
    version: ClassVar[str] = __version__
    handlers: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        found: dict[str, str] = {}
        # Classes that are mixed in count as well, the nearest last.
        for base in reversed(cls.__mro__):
            for attribute, value in vars(base).items():
                method = getattr(value, "rpc_method", None)
                if method is not None:
                    found[method] = attribute
        cls.handlers = found

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Validate the configuration. Makes no network call.

        Raises:
            InvalidConfig: Every fault in one message.
        """
        self.settings = self.config.parse(config)
        declared = [self.settings[field.name] for field in self.config.fields if field.secret]
        self.redact: Redactor = Redactor(
            secrets_in({**config, **self.settings}) | secrets_in(declared, under_secret_name=True)
        )

    def check(self, call: Call) -> list[Check]:
        """Make the cheapest authenticated upstream call and say what is wrong, if anything."""
        raise BadRequest(f"The {self.name} plugin has no check.")

    @classmethod
    def describe(cls) -> dict[str, Any]:
        """Answer ``plugin.describe``: name, version, capability, methods, config schema."""
        return {
            "name": cls.name,
            "version": cls.version,
            "capability": cls.capability,
            "methods": sorted(cls.handlers),
            "config": cls.config.json_schema(),
        }

    @classmethod
    def serve(cls) -> None:
        """Answer frames on stdin until it ends; the body of a plugin executable."""
        from opsorch.plugin.serve import serve

        serve(cls)


class Dispatcher:
    """Calls the methods of one provider class, with one object a configuration.

    Both ways to run an adapter, in-process and as a plugin, go through it.
    """

    def __init__(self, provider_class: type[Provider]) -> None:
        self.provider_class = provider_class
        self._providers: OrderedDict[str, Provider] = OrderedDict()
        self._lock = threading.Lock()

    def call(self, method: str, config: Any, payload: Any, call: Call) -> Any:
        """Answer one RPC method.

        Raises:
            OpsOrchError: As the method says; BadRequest for an unknown method or a payload that
                is no object.
        """
        if method == "plugin.describe":
            return self.provider_class.describe()
        attribute = self.provider_class.handlers.get(method)
        if attribute is None and method != "plugin.check":
            known = ", ".join(sorted(self.provider_class.handlers))
            raise BadRequest(f"unknown method {method!r}; this plugin answers {known}")
        if payload is not None and not isinstance(payload, dict):
            raise BadRequest("payload must be an object")
        if config is not None and not isinstance(config, dict):
            raise BadRequest("config must be an object")
        if attribute is None:
            return self._check(config or {}, call)
        provider = self.provider(config or {})
        with _redacted(provider.redact):
            return getattr(provider, attribute)(payload or {}, _within_settings(call, provider))

    def _check(self, config: Mapping[str, Any], call: Call) -> dict[str, Any]:
        try:
            provider = self.provider(config)
            checks = [Check("configuration", ok=True)]
            with _redacted(provider.redact):
                checks += [
                    Check(made.name, made.ok, provider.redact(made.message))
                    for made in provider.check(_within_settings(call, provider))
                ]
        except OpsOrchError as error:
            name = "configuration" if error.code == "invalid_config" else "upstream"
            checks = [Check(name, ok=False, message=error.message)]
        return {
            "ok": all(check.ok for check in checks),
            "checks": [{"name": c.name, "ok": c.ok, "message": c.message} for c in checks],
        }

    def provider(self, config: Mapping[str, Any]) -> Provider:
        """Return the provider of this configuration; a changed one builds a new provider."""
        text = json.dumps(config, sort_keys=True, ensure_ascii=False)
        fingerprint = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        with self._lock:
            provider = self._providers.get(fingerprint)
            if provider is not None:
                self._providers.move_to_end(fingerprint)
                return provider
        with _redacted(redactor_for(config)):
            built = self.provider_class(config)
        unknown = self.provider_class.config.unknown(config)
        if unknown:
            names = ", ".join(unknown)
            log.warning("%s config: unknown field(s) ignored: %s", built.config.vendor, names)
        with self._lock:
            self._providers[fingerprint] = built
            while len(self._providers) > MAX_PROVIDERS:
                self._providers.popitem(last=False)
        return built


@contextlib.contextmanager
def _redacted(redact: Redactor) -> Iterator[None]:
    """Take the configuration's secrets out of an error's message, whoever wrote it."""
    try:
        yield
    except OpsOrchError as error:
        error.message = redact(str(error.message))
        raise


def _within_settings(call: Call, provider: Provider) -> Call:
    """Shorten the call's deadline to the adapter's own timeoutSeconds."""
    timeout_s = provider.settings.get(TIMEOUT.name) or DEFAULT_TIMEOUT_S
    return Call(call.deadline.within(timeout_s), call.request_id, call.actor, call.traceparent)

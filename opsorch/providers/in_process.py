"""A provider that runs inside the gateway: fastest, and not isolated."""

import json
import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from opsorch.errors import OpsOrchError, ProviderError, UpstreamTimeout
from opsorch.observability.redact import redactor_for
from opsorch.plugin.provider import Call, Dispatcher, Provider
from opsorch.plugin.serve import budget_s, error_frame, strict_json, where
from opsorch.providers.base import CallContext, RawJson
from opsorch.supervisor.frames import Envelope, result_of

log = logging.getLogger("opsorch.providers")


class InProcessProvider:
    """Answers through an adapter's class, called in the caller's thread."""

    def __init__(
        self, label: str, provider_class: type[Provider], config: Mapping[str, Any]
    ) -> None:
        self.label = label
        self._dispatcher = Dispatcher(provider_class)
        self._config = dict(config)
        self._redact = redactor_for(config)

    def call(
        self, method: str, payload: bytes, context: CallContext, *, repeatable: bool
    ) -> RawJson:
        """Answer one method; see Provider.call. The adapter's own waits end by the deadline."""
        remaining_ms = context.deadline.remaining() * 1000
        call = Call(
            context.deadline.within(budget_s(remaining_ms)),
            context.request_id,
            context.actor,
            context.traceparent,
        )
        if call.deadline.expired:
            raise UpstreamTimeout(f"No time was left for {method}.")
        try:
            # Decoded anew, so that it sees what a plugin would see.
            result = self._dispatcher.call(method, self._config, json.loads(payload), call)
            return strict_json(result)
        except OpsOrchError as error:
            return self._as_of_a_plugin(error)
        except (Exception, SystemExit) as exc:
            # Without its message, which may hold a secret.
            log.error("%s failed at %s: %s", self.label, method, where(exc))
            raise ProviderError(
                f"The provider {self.label!r} failed at {method} with {type(exc).__name__};"
                " the log says where.",
                # The gateway heeds this of writes only; this one may be half done.
                outcome_unknown=True,
            ) from exc

    def _as_of_a_plugin(self, error: OpsOrchError) -> RawJson:
        """Raise the error as it would come from a process: redacted, cut, with its status."""
        frame = msgspec.json.encode(error_frame(error))
        return result_of(Envelope(error=msgspec.Raw(frame)), self._redact)

    def health(self) -> dict[str, Any]:
        """Tell that it can take a call; see Provider.health."""
        return {"ready": True}

    def drain(self) -> None:
        """Do nothing: calls under way finish in their threads."""

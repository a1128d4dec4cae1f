"""One blueprint a capability, one generic view for every operation."""

from collections.abc import Callable
from typing import Any

import flask
import msgspec

from opsorch.capabilities import fields
from opsorch.capabilities.spec import READ, Capability, Operation
from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, OpsOrchError, PluginFailure, ProviderError
from opsorch.gateway.bodies import json_body
from opsorch.gateway.paths import Segment
from opsorch.gateway.state import Gateway, facts, gateway, json_answer
from opsorch.plugin.outcome import ADVICE, MAYBE, joined
from opsorch.providers.base import CallContext, RawJson, Unavailable, telling
from opsorch.providers.registry import Slot

# Numbers with a fraction reach the plugin as they were written.
_encode = msgspec.json.Encoder(decimal_format="number").encode

View = Callable[..., flask.Response]

_UNKNOWN_OUTCOME = f"Whether it took effect upstream is not known: {ADVICE}."


def build_blueprint(capability: Capability) -> flask.Blueprint:
    """Make the routes of a capability from its operations."""
    blueprint = flask.Blueprint(capability.name, __name__)
    for operation in capability.operations:
        blueprint.add_url_rule(
            _rule(operation.path),
            endpoint=f"{operation.verb} {operation.path}".replace(".", "_"),
            view_func=_view(capability, operation),
            methods=[operation.verb],
            provide_automatic_options=False,
        )
    return blueprint


def _rule(path: str) -> str:
    """Turn ``/incidents/{id}`` into Flask's form of it."""
    return path.replace("{", f"<{Segment.__name__.lower()}:").replace("}", ">")


def _view(capability: Capability, operation: Operation) -> View:
    def view(**params: str) -> flask.Response:
        known = facts()
        known.capability, known.operation = capability.name, operation.method
        return answer_operation(gateway(), capability, operation, params)

    return view


def answer_operation(
    here: Gateway, capability: Capability, operation: Operation, params: dict[str, str]
) -> flask.Response:
    """Check the request, call the provider, check its result, audit.

    Raises:
        OpsOrchError: With the code that the caller is told.
    """
    slot = here.registry[capability.name]
    if isinstance(slot.provider, Unavailable):
        error = slot.provider.copy_of_error()
        slot.last_error.note(error)
        raise error
    payload = _encode(operation.arrange(params, _input(operation, here.settings.max_body_bytes)))
    body = _called(here, slot, operation, payload)
    audit(here, operation.audit)
    return json_answer(body, operation.status)


def _input(operation: Operation, limit: int) -> dict[str, Any]:
    """Return the checked body or query string of a request; {} where neither is looked at."""
    if operation.query is not None:
        given = {
            name: flask.request.args.get(name, "") for name in fields.declared(operation.query)
        }
        return fields.load(operation.query, {name: text for name, text in given.items() if text})
    if operation.body is None:
        return {}
    data = json_body(flask.request, limit, may_be_empty=operation.empty_body)
    try:
        return fields.load(operation.body, data)
    except fields.Misfit as misfit:
        raise BadRequest(f"{misfit}.") from misfit


def _called(here: Gateway, slot: Slot, operation: Operation, payload: bytes) -> bytes:
    """Call the provider within one deadline and turn its result into the body of the answer."""
    known, deadline = facts(), Deadline.after(slot.settings.timeout_s)
    context = CallContext(deadline, known.request_id, known.actor_id, known.traceparent)
    try:
        with telling(here.emit, slot.settings.name, operation.method, deadline):
            with slot.admission:
                raw = slot.provider.call(
                    operation.method, payload, context, repeatable=operation.kind is READ
                )
            return _converted(operation, raw)
    except OpsOrchError as error:
        slot.last_error.note(error)
        _tell_unknown_outcome(operation, error)
        raise


def _converted(operation: Operation, raw: RawJson) -> bytes:
    try:
        return operation.result.convert(raw)
    except ProviderError as error:
        # The plugin has done the write; that its answer cannot be read does not undo it.
        error.outcome_unknown = operation.kind is not READ
        raise


def _tell_unknown_outcome(operation: Operation, error: OpsOrchError) -> None:
    """Say of a write whose answer was lost that it may have taken effect."""
    if operation.kind is READ:
        error.outcome_unknown = False
        return
    if isinstance(error, PluginFailure) and error.sent:
        error.outcome_unknown = True
    if error.outcome_unknown and ADVICE not in error.message.lower():
        said = MAYBE in error.message
        error.message = joined(
            error.message, f"{ADVICE.capitalize()}." if said else _UNKNOWN_OUTCOME
        )


def audit(here: Gateway, action: str) -> None:
    """Write the audit line of a call that succeeded."""
    known = facts()
    here.audit.write(
        {
            "request_id": known.request_id,
            "actor_type": known.actor_type,
            "actor_id": known.actor_id,
            "timestamp": fields.utc_now("milliseconds"),
            "action": action,
        }
    )

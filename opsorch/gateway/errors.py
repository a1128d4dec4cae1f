"""Every exception becomes the one JSON body of the contract."""

import math
from typing import Any

import flask
import msgspec
import werkzeug.exceptions

from opsorch.errors import (
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    OpsOrchError,
    PayloadTooLarge,
    Unauthorized,
)
from opsorch.gateway.paths import sent_path
from opsorch.gateway.state import facts, json_answer
from opsorch.observability.logs import emit
from opsorch.observability.redact import clean_text

_encode = msgspec.json.Encoder().encode


def install_errors(app: flask.Flask) -> None:
    """Make every failure of a request answer in the contract's form."""
    app.register_error_handler(OpsOrchError, answer_error)
    app.register_error_handler(werkzeug.exceptions.HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_defect)


def error_body(error: OpsOrchError, **more: Any) -> bytes:
    """Encode the body of an error."""
    body: dict[str, Any] = {"code": error.code, "message": error.message, **more}
    if error.outcome_unknown:
        body["outcome"] = "unknown"
    return _encode(body) + b"\n"


def answer_error(error: OpsOrchError, **more: Any) -> flask.Response:
    """Answer with an error.

    Args:
        error: The error.
        more: Further keys of the body.
    """
    known = facts()
    known.code, known.message = error.code, error.message
    response = json_answer(error_body(error, **more), error.status)
    retry_after_s = error.retry_after_s
    if error.code == "rate_limited":
        retry_after_s = 1.0 if retry_after_s is None else retry_after_s
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.allowed)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _answer_http(failed: werkzeug.exceptions.HTTPException) -> flask.Response:
    return answer_error(_translated(failed))


def _translated(failed: werkzeug.exceptions.HTTPException) -> OpsOrchError:
    verb = flask.request.method
    if isinstance(failed, werkzeug.exceptions.MethodNotAllowed):
        allowed = tuple(sorted(failed.valid_methods or ()))
        return MethodNotAllowed(
            f"{verb} is not offered here; use {', '.join(allowed)}.", allowed=allowed
        )
    if failed.code == 404:
        return NotFound(f"There is no {clean_text(sent_path(flask.request))} here; not found.")
    if failed.code == 413:
        return PayloadTooLarge("The body is too large.")
    if failed.code is not None and failed.code < 500:
        # Of Werkzeug's own: a Host that is no host name, an upgrade to websocket.
        return BadRequest("The request's headers cannot be served; look at Host and Upgrade.")
    return InternalError(_told_in_log())


def _answer_defect(defect: Exception) -> flask.Response:
    """Answer a defect of ours: the caller learns the request id and no more."""
    emit(
        "request.failed",
        method=flask.request.method,
        path=sent_path(flask.request),
        exc_info=defect,
    )
    return answer_error(InternalError(_told_in_log()))


def _told_in_log() -> str:
    return f"The gateway failed; its log tells more under request id {facts().request_id}."

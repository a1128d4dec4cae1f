"""The application factory. No work at import."""

import functools
import os
import socket
import time
from pathlib import Path
from typing import Final

import flask

from opsorch.capabilities import CAPABILITIES
from opsorch.config import ENV_FILE, Settings, read_environ
from opsorch.errors import BadRequest
from opsorch.gateway.auth import check_token
from opsorch.gateway.blueprint import build_blueprint
from opsorch.gateway.bodies import drop_body
from opsorch.gateway.cors import add_cors
from opsorch.gateway.errors import install_errors
from opsorch.gateway.gauges import Gauges
from opsorch.gateway.health import health
from opsorch.gateway.identity import facts_of
from opsorch.gateway.paths import BAD_PATH, RawPaths, Segment, sent_path
from opsorch.gateway.patience import PATIENCE
from opsorch.gateway.provider_api import providers
from opsorch.gateway.state import Gateway, facts, gateway, install, set_facts
from opsorch.observability import logs
from opsorch.observability.metrics import Metrics
from opsorch.providers.registry import Registry
from opsorch.supervisor.supervisor import Supervisor

# What a client may take to read its answer: these seconds, and its size at this rate.
ANSWER_S: Final = 10.0
ANSWER_BYTES_PER_S: Final = 64 * 1024
# Of the message of an error, in the log.
MESSAGE_CHARS: Final = 500


def load_settings(folder: Path | None = None) -> Settings:
    """Read the settings from the environment and from ``.env`` in the folder.

    Raises:
        SettingsError: Some do not parse; lists them all by name.
    """
    return Settings.from_env(read_environ(os.environ, (folder or Path.cwd()) / ENV_FILE))


def create_app(settings: Settings | None = None, sink: logs.Sink | None = None) -> flask.Flask:
    """Make the application.

    Args:
        settings: Settings; read from the environment where absent.
        sink: Where log lines go; stderr where absent.

    Raises:
        SettingsError: The settings that it read do not parse.
    """
    settings = settings or load_settings()
    sink = sink or logs.Sink()
    logs.configure_logs(settings.log_level, settings.log_format, sink)
    metrics = Metrics()
    sink.on_lost = metrics.lines_lost
    emit = functools.partial(_emit, metrics)
    supervisor = Supervisor(emit)
    registry = Registry(settings, supervisor, emit)
    app = flask.Flask("opsorch", static_folder=None)
    here = Gateway(settings, registry, supervisor, metrics, logs.Audit(sink), emit)
    install(app, here)
    _add_routes(app)
    install_errors(app)
    gauges = Gauges(here)
    app.before_request(_begin)
    app.after_request(_finish)
    app.after_request(gauges.after_request)
    app.teardown_request(_forget)
    app.wsgi_app = RawPaths(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _emit(metrics: Metrics, event: str, /, **facts: object) -> None:
    metrics.note(event, facts)
    logs.emit(event, **facts)


def _add_routes(app: flask.Flask) -> None:
    app.url_map.converters[Segment.__name__.lower()] = Segment
    # Either would redirect, and a redirected POST becomes a GET.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.register_blueprint(health)
    app.register_blueprint(providers)
    for capability in CAPABILITIES.values():
        app.register_blueprint(build_blueprint(capability))


def _begin() -> flask.Response | None:
    """Identify the request; answer OPTIONS; check the token."""
    request = flask.request
    known = facts_of(request.headers)
    set_facts(known)
    logs.begin_request(known.request_id)
    if request.method == "OPTIONS":
        empty = flask.Response(status=200)
        del empty.headers["Content-Type"]
        return empty
    check_token(request, gateway().settings.bearer_token)
    if request.environ.get(BAD_PATH):
        raise BadRequest("The path must begin with a slash and be percent-encoded UTF-8.")
    return None


def _finish(response: flask.Response) -> flask.Response:
    """Add what every answer carries; drop what is left of the body; write the one log line."""
    request, known = flask.request, facts()
    drop_body(request)
    _bound_reading(request, response)
    response.headers["X-Request-ID"] = known.request_id
    add_cors(response, request.headers.get("Origin"), gateway().settings.cors_origins)
    seconds = time.monotonic() - known.started_at
    gateway().metrics.request_finished(known.operation, response.status_code, seconds)
    logs.emit_at(
        "warning" if response.status_code >= 500 else "info",
        "request.completed",
        method=request.method,
        path=sent_path(request),
        status=response.status_code,
        duration_ms=round(seconds * 1000, 2),
        capability=known.capability,
        operation=known.operation,
        code=known.code,
        message=known.message[:MESSAGE_CHARS],
    )
    return response


def _forget(_: BaseException | None) -> None:
    logs.end_request()


def _bound_reading(request: flask.Request, response: flask.Response) -> None:
    """Have the server give up a client that does not read its answer: it holds a thread."""
    sock = request.environ.get("gunicorn.socket")
    if sock is not None:
        size = response.calculate_content_length() or 0
        limit_s = ANSWER_S + size / ANSWER_BYTES_PER_S
        PATIENCE.watch(sock, lambda: sock, limit_s, socket.SHUT_RDWR)

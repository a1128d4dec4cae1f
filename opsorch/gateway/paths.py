"""Paths, split before they are decoded, so that an id may hold ``%2F``.

WSGI hands over a decoded path, in which an encoded slash looks like any other. This wrapper goes
back to the target as it was sent, and writes each segment percent-encoded into PATH_INFO, where the
routes' converter decodes it once.
"""

import re
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any, Final

import flask
import werkzeug.routing

# Set where the path cannot be decoded; the application answers 400.
BAD_PATH: Final = "opsorch.bad_path"
_SENT: Final = "opsorch.sent_path"
_SHOWN_CHARS: Final = 300

_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Any], Iterable[bytes]]


class RawPaths:
    """Wraps a WSGI application; see the module."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        sent = environ[_SENT] = _target(environ)
        try:
            environ["PATH_INFO"] = routable(sent)
        except ValueError:
            # Like no path that can be decoded, so none of those that need no token.
            environ["PATH_INFO"] = "/%" + urllib.parse.quote(sent, safe="")
            environ[BAD_PATH] = True
        return self._app(environ, start_response)


def sent_path(request: flask.Request) -> str:
    """Return a request's path as it was sent, for people; what routes may be another."""
    return str(request.environ.get(_SENT, request.path))[:_SHOWN_CHARS]


def routable(path: str) -> str:
    """Return a raw path with each segment decoded once and encoded anew, one trailing slash off.

    Raises:
        ValueError: A segment is not percent-encoded UTF-8.
    """
    if not path.startswith("/"):
        raise ValueError("not an absolute path")
    if len(path) > 1 and path.endswith("/"):
        path = path[:-1]
    segments = path[1:].split("/")
    if len(segments) > 1 and not all(segments):
        # Werkzeug would drop empty segments; one opaque segment leads to no route.
        segments = [path]
    return "/" + "/".join(map(_anew, segments))


def _anew(segment: str) -> str:
    if segment.count("%") != len(_ENCODED.findall(segment)):
        raise ValueError("a percent sign without two hex digits")
    decoded = urllib.parse.unquote_to_bytes(segment).decode("utf-8")
    return urllib.parse.quote(decoded, safe="")


def _target(environ: Environ) -> str:
    """Return the path of the request's target as it was sent."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw is None:
        raw = urllib.parse.quote(environ.get("PATH_INFO", "/").encode("latin-1"))
    target = str(raw).partition("?")[0].partition("#")[0]
    absolute = _ABSOLUTE.match(target)
    # The absolute form, as proxies send it.
    return "/" + target[absolute.end() :].partition("/")[2] if absolute else target


class Segment(werkzeug.routing.BaseConverter):
    """One path segment: decoded once, and not blank."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        """Decode the segment; a blank one does not match."""
        decoded = urllib.parse.unquote(value)
        if not decoded.strip():
            raise werkzeug.routing.ValidationError
        return decoded

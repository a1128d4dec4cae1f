"""The bearer token, compared in constant time."""

import hmac
from typing import Final

import flask

from opsorch.errors import Unauthorized
from opsorch.observability.redact import Secret

# Probes carry no token, and these bodies tell nothing that is secret.
OPEN_PATHS: Final = frozenset({"/", "/health", "/health/ready"})


def check_token(request: flask.Request, token: Secret | None) -> None:
    """Let the request pass.

    Raises:
        Unauthorized: The token is missing or wrong.
    """
    if token is None or request.path in OPEN_PATHS:
        return
    scheme, _, given = request.headers.get("Authorization", "").strip().partition(" ")
    expected = token.reveal().encode("utf-8", "surrogateescape")
    fits = hmac.compare_digest(given.strip().encode("latin-1", "replace"), expected)
    if scheme.lower() != "bearer" or not fits:
        raise Unauthorized("A valid token is required: send it as 'Authorization: Bearer <token>'.")

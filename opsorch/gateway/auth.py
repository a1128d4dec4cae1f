"""The bearer token, compared in constant time."""

import hmac
from typing import Final

import flask

from opsorch.errors import Unauthorized
from opsorch.observability.redact import Secret

# Probes carry no token, and these bodies tell nothing that is secret.
OPEN_PATHS: Final = frozenset({"/", "/health", "/health/ready"})
# No more of them: headers are read as Latin-1, in which the last byte of "à" is a blank.
_BLANK: Final = " \t"


def check_token(request: flask.Request, token: Secret | None) -> None:
    """Let the request pass.

    Raises:
        Unauthorized: The token is missing or wrong.
    """
    if token is None or request.path in OPEN_PATHS:
        return
    scheme, _, given = request.headers.get("Authorization", "").strip(_BLANK).partition(" ")
    expected = token.reveal().encode("utf-8", "surrogateescape")
    fits = hmac.compare_digest(given.strip(_BLANK).encode("latin-1", "replace"), expected)
    if scheme.lower() != "bearer" or not fits:
        raise Unauthorized("A valid token is required: send it as 'Authorization: Bearer <token>'.")

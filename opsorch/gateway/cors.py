"""CORS: which browsers may call from other origins."""

from typing import Final

import flask

ALLOW_HEADERS: Final = "Content-Type, Authorization"
ALLOW_METHODS: Final = "GET,POST,PATCH,OPTIONS"
EXPOSE_HEADERS: Final = "X-Request-ID, Retry-After"


def add_cors(response: flask.Response, origin: str | None, allowed: tuple[str, ...]) -> None:
    """Set the CORS headers of an answer.

    Args:
        response: The answer.
        origin: What the browser's Origin header says.
        allowed: Allowed origins; of several the matching one is sent, else the first.
    """
    chosen = origin if origin in allowed else allowed[0]
    headers = response.headers
    headers["Access-Control-Allow-Origin"] = chosen or allowed[0]
    headers["Access-Control-Allow-Headers"] = ALLOW_HEADERS
    headers["Access-Control-Allow-Methods"] = ALLOW_METHODS
    headers["Access-Control-Expose-Headers"] = EXPOSE_HEADERS
    if len(allowed) > 1:
        headers.add("Vary", "Origin")

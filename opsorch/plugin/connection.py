"""Configuration of an HTTP connection that several vendors share: headers, TLS, basic auth.

The fields go into a ConfigSpec's table, the rules into its rules; ``connection_of`` turns the
parsed settings into arguments of ``opsorch.plugin.http.Upstream``.
"""

import base64
import os
import re
import ssl
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

import urllib3

from opsorch.observability.redact import Secret
from opsorch.plugin.config import Field, Kind, Unfit, boolean
from opsorch.plugin.http import NO_AUTH, HeaderAuth

Settings = Mapping[str, Any]

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\x80-\xff]*")


def readable_file() -> Kind:
    """Take the path of a file that can be read now."""

    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise Unfit("must be a string")
        path = value.strip()
        if not os.path.isfile(path) or not os.access(path, os.R_OK):
            raise Unfit("cannot be read")
        return path

    return Kind(parse, {"type": "string"})


def header_map() -> Kind:
    """Take an object of strings that can be sent as headers; the values become Secrets."""

    def parse(value: Any) -> dict[str, Secret]:
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise Unfit("must be an object of strings")
        if not all(_HEADER_NAME.fullmatch(name) for name in value):
            raise Unfit("has a key that is no header name")
        for name, text in value.items():
            if not _HEADER_VALUE.fullmatch(text.strip()):
                raise Unfit(f".{name} cannot be sent as a header")
        return {name: Secret(text.strip()) for name, text in value.items()}

    return Kind(parse, {"type": "object", "additionalProperties": {"type": "string"}})


CONNECTION_FIELDS: Final = (
    Field(
        "headers",
        header_map(),
        default={},
        aliases=("httpHeaders",),
        secret=True,
        help="Headers added to every request.",
    ),
    Field("caFile", readable_file(), aliases=("caCert", "tlsCAFile"), help="CA certificates, PEM."),
    Field("certFile", readable_file(), aliases=("tlsCertFile",), help="Client certificate, PEM."),
    Field(
        "keyFile",
        readable_file(),
        aliases=("tlsKeyFile",),
        help="Its key, PEM, not encrypted; left out when certFile holds it too.",
    ),
    Field(
        "insecureSkipVerify",
        boolean(),
        default=False,
        aliases=("tlsSkipVerify",),
        help="Accept any certificate.",
    ),
)

# In a table of fields next to the vendor's other credentials; they need the rule that they pair.
BASIC_AUTH_FIELDS: Final = (
    Field("username", aliases=("user",), help="User of basic auth; needs password."),
    Field("password", secret=True, help="Password of basic auth; needs username."),
)


def paired_credentials(settings: Settings) -> str | None:
    """Say what is wrong with username and password, if anything."""
    if bool(settings["username"]) != bool(settings["password"]):
        return "username and password must be given together"
    return None


def usable_ca(settings: Settings) -> str | None:
    """Say what is wrong with caFile, if anything."""
    if not settings["caFile"]:
        return None
    try:
        ssl.create_default_context(cafile=settings["caFile"])
    except (ssl.SSLError, OSError):
        return "field caFile must hold PEM certificates"
    return None


def usable_certificate(settings: Settings) -> str | None:
    """Say what is wrong with certFile and keyFile, if anything."""
    if settings["keyFile"] and not settings["certFile"]:
        return "keyFile needs certFile"
    if not settings["certFile"]:
        return None
    try:
        # An encrypted key would have OpenSSL ask the terminal; the blank password fails instead.
        ssl.create_default_context().load_cert_chain(
            settings["certFile"], settings["keyFile"], password=lambda: ""
        )
    except (ssl.SSLError, OSError):
        return "certFile and keyFile must hold a PEM certificate and its unencrypted key"
    return None


CONNECTION_RULES: Final = (usable_ca, usable_certificate)


def connection_of(settings: Settings) -> dict[str, Any]:
    """Return the arguments ``headers``, ``verify`` and ``cert`` of an Upstream."""
    certificate = settings["certFile"]
    verify: bool | str | None = settings["caFile"] or None
    if settings["insecureSkipVerify"]:
        # Chosen on purpose: urllib3 would warn of it for every request.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        verify = False
    return {
        "headers": {name: value.reveal() for name, value in settings["headers"].items()},
        "verify": verify,
        "cert": (certificate, settings["keyFile"] or certificate) if certificate else None,
    }


def basic_auth(user: str, password: str) -> HeaderAuth:
    """Send user and password, UTF-8, as ``Authorization: Basic`` (RFC 7617)."""
    return HeaderAuth({"Authorization": f"Basic {basic_text(user, password)}"})


def basic_text(user: str, password: str) -> str:
    """Write user and password as basic auth sends them."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def bearer_auth(token: Secret) -> HeaderAuth:
    """Send a token as ``Authorization: Bearer`` (RFC 6750)."""
    return HeaderAuth({"Authorization": f"Bearer {token.reveal()}"})


def user_auth(settings: Settings, userinfo: tuple[str, str] | None) -> HeaderAuth:
    """Send the configured user and password, else those that stood in the URL, if any."""
    if settings["username"]:
        return basic_auth(settings["username"], settings["password"].reveal())
    return basic_auth(*userinfo) if userinfo else NO_AUTH


def without_userinfo(address: str) -> tuple[str, tuple[str, str] | None]:
    """Split a URL into the URL that may be shown and the user and password it held, if any."""
    parts = urllib.parse.urlsplit(address)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return address, None
    user, _, password = userinfo.partition(":")
    decoded = (urllib.parse.unquote(user), urllib.parse.unquote(password))
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), decoded

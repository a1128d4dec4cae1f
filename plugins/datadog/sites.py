"""Datadog's sites: which host answers the API, and which one people open.

Source: https://docs.datadoghq.com/getting_started/site/ (site parameters and URLs) and
https://docs.datadoghq.com/api/latest/ (API hosts).
"""

import re
import urllib.parse
from typing import Final

from opsorch.plugin.config import Kind, Unfit

DEFAULT_SITE: Final = "datadoghq.com"
# Sites under these names belong to Datadog; their user interfaces alone have ``app.``.
ROOTS: Final = ("datadoghq.com", "datadoghq.eu", "ddog-gov.com")

_ALIASES: Final = {
    "us1": "datadoghq.com",
    "us3": "us3.datadoghq.com",
    "us5": "us5.datadoghq.com",
    "eu": "datadoghq.eu",
    "eu1": "datadoghq.eu",
    "ap1": "ap1.datadoghq.com",
    "ap2": "ap2.datadoghq.com",
    "uk1": "uk1.datadoghq.com",
    "gov": "ddog-gov.com",
    "us1-fed": "ddog-gov.com",
    "us2-fed": "us2.ddog-gov.com",
}
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}")


def site() -> Kind:
    """Take a site parameter, one of the short names, or a host or URL of the site."""

    def parse(value: object) -> str:
        parsed = parse_site(value) if isinstance(value, str) else None
        if parsed is None:
            raise Unfit("is not a Datadog site")
        return parsed

    return Kind(parse, {"type": "string"})


def parse_site(text: str) -> str | None:
    """Return the site parameter that a text means; None where it means none."""
    given = text.strip().lower()
    if given in _ALIASES:
        return _ALIASES[given]
    host = _host_of(given)
    for prefix in ("app.", "api."):
        host = host.removeprefix(prefix)
    known = any(host == root or host.endswith(f".{root}") for root in ROOTS)
    return host if known and _HOST.fullmatch(host) else None


def _host_of(text: str) -> str:
    try:
        parts = urllib.parse.urlsplit(text if "://" in text else f"https://{text}")
        fits = parts.scheme in ("http", "https") and "@" not in parts.netloc
        return (parts.hostname or "") if fits else ""
    except ValueError:
        return ""


def api_of(site_parameter: str) -> str:
    """Return the base URL of a site's API."""
    return f"https://api.{site_parameter}"


def app_of(site_parameter: str) -> str:
    """Return the base URL of a site's user interface."""
    return f"https://{'app.' if site_parameter in ROOTS else ''}{site_parameter}"

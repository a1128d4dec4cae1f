"""Secrets that do not print, and text from which secrets are taken out."""

import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, Final

MASK: Final = "***"

# Shorter values would blank out ordinary words.
MIN_SECRET_LENGTH: Final = 6

# A part of a private key, of which a text may hold one line only.
_MIN_LINE_LENGTH: Final = 16

SECRET_NAME = re.compile(
    r"token|secret|passw|passphrase|credential|authorization|cookie|database_?url|webhook"
    r"|(api|app|application|private|access|signing|routing|encryption)[_-]?key|key$"
    r"|(?<![a-z])dsn(?![a-z])"
    # Of variables: SMTP_PASS.
    r"|(?-i:_(PASS|PWD|PAT)$)",
    re.IGNORECASE,
)
# Names that match by accident and hold paths or names, never a secret.
_HARMLESS_NAME = re.compile(
    r"(file|path|header_?name"
    r"|(dedup|group|incident|issue|label|partition|primary|project|public|sort|tag|ticket)[_-]?key)$",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?<=://)[^/?#\s\"'<>]*@")
_SCHEME = r"(?:bearer|basic|digest|apikey|geniekey|genericapikey|token)"
# Where it stands for a password, the user name before it is the secret.
_NO_PASSWORD: Final = frozenset({"", "x", "x-oauth-basic"})
# Places of a credential that is in no configuration: a header, the value after a scheme's name
# alone, a parameter of a URL; and tokens that tell by their form what they are. After a scheme's
# name alone a word of small letters is prose ("basic authentication").
_CREDENTIALS: Final = (
    (
        re.compile(
            rf"(?i)(authorization[\"']{{0,2}}\s*[:=]\s*[\"']?(?:{_SCHEME}\s+)?(?:token=)?)"
            r"[^\s\"',;]{4,}"
        ),
        rf"\1{MASK}",
    ),
    (
        re.compile(
            r"(\b(?i:bearer\s|basic\s|apikey\s|geniekey\s|genericapikey\s|token token=)\s*)"
            r"(?=[^\s\"',;]+[A-Z0-9=_+/])[^\s\"',;]{6,}"
        ),
        rf"\1{MASK}",
    ),
    (
        re.compile(
            r"(?i)([?&][\w.-]{0,40}(?:token|secret|passw|key|signature|credential)\w{0,20}=)"
            r"[^&\s\"'#]+"
        ),
        rf"\1{MASK}",
    ),
    (
        # Of GitHub, Slack and Stripe; a JSON Web Token.
        re.compile(
            r"(?<![A-Za-z0-9])(?:gh[oprsu]_[A-Za-z0-9]{16,}|github_pat_\w{16,}"
            r"|(?:xox[a-z]|xapp)-[\w-]{8,}|[rs]k_(?:live|test)_\w{8,})"
            r"|(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*"
        ),
        MASK,
    ),
)


class Secret:
    """A value that prints as ``***`` and opens only through ``reveal()``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)


def secrets_in(config: object, *, under_secret_name: bool = False) -> set[str]:
    """Collect the values of a configuration object that look secret, by name or as URL userinfo.

    Args:
        config: Decoded JSON of any shape.
        under_secret_name: The object stands under a name that looks secret.
    """
    found: set[str] = set()
    if isinstance(config, Mapping):
        for name, value in config.items():
            secret = looks_secret(str(name)) or str(name).lower().endswith("headers")
            found |= secrets_in(value, under_secret_name=under_secret_name or secret)
    elif isinstance(config, list | tuple):
        for value in config:
            found |= secrets_in(value, under_secret_name=under_secret_name)
    elif isinstance(config, Secret):
        found.add(config.reveal())
    elif isinstance(config, str):
        if under_secret_name:
            lines = config.split("\n") if "\n" in config.strip() else []
            found |= {config.strip(), *(s for s in lines if len(s) >= _MIN_LINE_LENGTH)}
        for match in _USERINFO.finditer(config):
            user, _, password = match.group()[:-1].partition(":")
            pair = {match.group()[:-1], user if password in _NO_PASSWORD else password}
            found |= pair | {urllib.parse.unquote(part) for part in pair}
    return {value for value in found if len(value) >= MIN_SECRET_LENGTH}


def looks_secret(name: str) -> bool:
    """Tell whether a field of this name is likely to hold a secret."""
    return bool(SECRET_NAME.search(name)) and not _HARMLESS_NAME.search(name)


def _forms(secret: str) -> set[str]:
    """Return a secret as it may be repeated: as it stands, inside JSON, inside a URL."""
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        urllib.parse.quote(secret, safe="", errors="replace"),
        urllib.parse.quote_plus(secret, errors="replace"),
    }


class Redactor:
    """Replaces known secrets, and what is a credential by its place or form, in text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        fitting = [secret for secret in secrets if len(secret) >= MIN_SECRET_LENGTH]
        known = sorted({form for s in fitting for form in _forms(s)}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """Return the text with every secret replaced by ``***``."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        if "://" in text:
            text = _USERINFO.sub(f"{MASK}@", text)
        for pattern, masked in _CREDENTIALS:
            text = pattern.sub(masked, text)
        return text

    def __repr__(self) -> str:
        return "Redactor()"


def redactor_for(config: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Redactor:
    """Make the redactor of one capability's configuration, and of the variables it can see."""
    return Redactor(secrets_in(config) | secrets_in(environ))


def clean_text(text: str, limit: int = 300) -> str:
    """Cut a foreign text to ``limit`` characters and take control characters out of it."""
    printable = "".join(c if c.isprintable() else " " for c in text[: limit * 4])
    collapsed = " ".join(printable.split())
    return collapsed if len(collapsed) <= limit else f"{collapsed[: limit - 1]}…"

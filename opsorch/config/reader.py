"""Read the settings from variables: all faults at once, by name, never by value."""

import io
import math
import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import dotenv
import dotenv.parser
import msgspec

from opsorch.capabilities import CAPABILITIES
from opsorch.config.rows import (
    ALL_INTERFACES,
    CAPABILITY_SETTINGS,
    PLUGIN_SETTINGS,
    SETTINGS,
    Unfit,
    secret,
)
from opsorch.observability.redact import Secret

ENV_FILE: Final = ".env"
MAX_CONFIG_BYTES: Final = 1024 * 1024


def _finite(text: str) -> float:
    """Take a number that fits; 1e400 would reach the plugin as null."""
    number = float(text)
    if math.isinf(number):
        raise ValueError("out of range")
    return number


_decode: Final = msgspec.json.Decoder(float_hook=_finite).decode

# Read by others, or by what comes later; not reported as unknown.
_KNOWN_ELSEWHERE: Final = re.compile(r"OPSORCH_(SECRET_\w+|PLUGIN_DIR|PLUGIN_OWNER|VERSION)")


class SettingsError(ValueError):
    """Variables that do not parse; the text lists them all, by name, without their values."""


@dataclass(frozen=True)
class CapabilitySettings:
    """What is set for one capability.

    Attributes:
        fault: Why its own configuration cannot be used, "" where it can; names variables only.
    """

    name: str
    plugin: str
    provider: str
    config: Mapping[str, Any] = field(repr=False)
    fault: str
    max_concurrency: int
    timeout_s: float
    queue_timeout_s: float
    idle_timeout_s: float
    pool_size: int
    min_idle: int
    max_calls: int
    max_reply_bytes: int
    max_memory_mb: int
    nice: int
    env: tuple[str, ...]

    @property
    def configured(self) -> bool:
        """Tell whether anything is to answer for it."""
        return bool(self.plugin or self.provider)

    def variable(self, suffix: str) -> str:
        """Return the name of one of its variables."""
        return variable_of(self.name, suffix)


@dataclass(frozen=True)
class Settings:
    """All settings, checked.

    Attributes:
        environ: The variables they were read from, for what plugins may see of them.
        unknown: OPSORCH_* variables that nobody reads: typing errors, likely.
        secret_settings: A secret provider is configured.
    """

    address: tuple[str, int]
    workers: int
    threads: int
    max_requests: int
    graceful_timeout_s: float
    max_body_bytes: int
    tls_cert_file: str
    tls_key_file: str
    cors_origins: tuple[str, ...]
    bearer_token: Secret | None
    log_level: str
    log_format: str
    data_dir: Path
    capabilities: Mapping[str, CapabilitySettings]
    environ: Mapping[str, str] = field(repr=False)
    unknown: tuple[str, ...] = ()
    secret_settings: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check every variable.

        Raises:
            SettingsError: Some do not parse; lists them all by name.
        """
        return _Reader(environ).settings()


def read_environ(
    environ: Mapping[str, str], env_file: Path, *, needed: bool = False
) -> dict[str, str]:
    """Join the environment and an env file; a real variable wins.

    Args:
        environ: The environment.
        env_file: The file.
        needed: It must be there.

    Raises:
        SettingsError: The file cannot be read, or has a line that cannot.
    """
    try:
        text = env_file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        if needed:
            raise SettingsError(f"there is no file {env_file}") from exc
        return dict(environ)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{env_file} cannot be read ({type(exc).__name__})") from exc
    # Left out, as dotenv does with them, one of them may be the token that closes the gateway.
    bad = [
        str(_line_of(binding.original))
        for binding in dotenv.parser.parse_stream(io.StringIO(text))
        if binding.error or (binding.key and binding.value is None)
    ]
    if bad:
        lines = f"line{'s' if len(bad) > 1 else ''} {', '.join(bad[:10])}"
        raise SettingsError(f"{env_file}: {lines} must be NAME=value, with quotes that close")
    found = dotenv.dotenv_values(stream=io.StringIO(text), interpolate=False)
    filled = {name: value for name, value in found.items() if value is not None}
    return {**filled, **environ}


def _line_of(original: dotenv.parser.Original) -> int:
    """Return the line of what dotenv read; it counts from the blank lines before it."""
    text = original.string
    return original.line + text[: len(text) - len(text.lstrip())].count("\n")


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder for data where OPSORCH_DATA_DIR is unset."""
    home = environ.get("XDG_STATE_HOME", "").strip()
    try:
        return (Path(home) if home else Path("~/.local/state").expanduser()) / "opsorch"
    except RuntimeError:
        # No HOME, and a user that the system does not know, as containers have them.
        return Path("/var/lib/opsorch")


def variable_of(capability: str, suffix: str) -> str:
    """Return the name of a capability's variable."""
    return f"OPSORCH_{capability.upper()}_{suffix}"


class _Reader:
    """Reads variables one by one and collects their faults."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: list[str] = []

    def settings(self) -> Settings:
        values = {row.field: self._value(row.name, row.parse, row.default) for row in SETTINGS}
        port_given = values.pop("port")
        values["address"] = values["address"] or (ALL_INTERFACES, port_given)
        values["bearer_token"] = self._token(
            values["bearer_token"], values.pop("bearer_token_file")
        )
        self._check_tls(values["tls_cert_file"], values["tls_key_file"])
        values["data_dir"] = self._data_dir(values["data_dir"])
        general = {
            row.field: self._value(f"OPSORCH_PLUGIN_{row.name}", row.parse, row.default)
            for row in PLUGIN_SETTINGS
        }
        capabilities = {
            name: self._capability(name, general, values["threads"] or 0) for name in CAPABILITIES
        }
        if self._faults:
            raise SettingsError("; ".join(self._faults))
        longest_s = max(capability.timeout_s for capability in capabilities.values())
        values["graceful_timeout_s"] = values["graceful_timeout_s"] or longest_s + 15
        return Settings(
            **values,
            capabilities=capabilities,
            environ=self._environ,
            unknown=tuple(sorted(set(self._given()) - set(known_variables()))),
            secret_settings=any(name.startswith("OPSORCH_SECRET_") for name in self._environ),
        )

    def _given(self) -> Iterator[str]:
        for name in self._environ:
            if name.startswith("OPSORCH_") and not _KNOWN_ELSEWHERE.fullmatch(name):
                yield name

    def _value(self, name: str, parse: Callable[[str], Any], default: Any) -> Any:
        raw = self._environ.get(name, "")
        if not raw.strip():
            return default
        try:
            if "\x00" in raw:
                raise Unfit("must not hold a NUL character")
            return parse(raw)
        except Unfit as unfit:
            self._faults.append(f"{name} {unfit}")
            return default

    def _data_dir(self, given: str) -> Path:
        try:
            folder = Path(given).expanduser() if given else default_data_dir(self._environ)
        except RuntimeError:
            self._faults.append("OPSORCH_DATA_DIR names the home of a user who is not known")
            folder = Path()
        return folder.absolute()

    def _token(self, token: Secret | None, file: str) -> Secret | None:
        if not file:
            return token
        if token is not None:
            self._faults.append("OPSORCH_BEARER_TOKEN and OPSORCH_BEARER_TOKEN_FILE are both set")
            return token
        try:
            read = secret(Path(file).read_text(encoding="utf-8-sig"))
        except Unfit as unfit:
            self._faults.append(f"what OPSORCH_BEARER_TOKEN_FILE names {unfit}")
            return None
        except (OSError, ValueError):
            self._faults.append("OPSORCH_BEARER_TOKEN_FILE cannot be read")
            return None
        if not read:
            # An empty file would silently open the gateway to everybody.
            self._faults.append("OPSORCH_BEARER_TOKEN_FILE is empty")
        return read

    def _check_tls(self, cert: str, key: str) -> None:
        if bool(cert) != bool(key):
            self._faults.append("OPSORCH_TLS_CERT_FILE and OPSORCH_TLS_KEY_FILE need each other")
        names = {"OPSORCH_TLS_CERT_FILE": cert, "OPSORCH_TLS_KEY_FILE": key}
        bad = [name for name, file in names.items() if file and not _is_readable(file)]
        self._faults += [f"{name} cannot be read" for name in bad]
        if cert and key and not bad and not _is_pair(cert, key):
            self._faults.append(
                "OPSORCH_TLS_CERT_FILE and OPSORCH_TLS_KEY_FILE are no certificate and its key"
                " (PEM, without a passphrase)"
            )

    def _capability(
        self, name: str, general: Mapping[str, Any], threads: int
    ) -> CapabilitySettings:
        own = {
            row.field: self._value(variable_of(name, row.name), row.parse, general[row.field])
            for row in PLUGIN_SETTINGS
        }
        given = {
            row.field: self._value(row.name.replace("<CAP>", name.upper()), row.parse, row.default)
            for row in CAPABILITY_SETTINGS
        }
        config, fault = _config_of(name, given.pop("config"), given.pop("config_file"))
        given["max_concurrency"] = given["max_concurrency"] or max(1, threads - 2)
        return CapabilitySettings(name=name, config=config, fault=fault, **given, **own)


def _is_readable(file: str) -> bool:
    return os.path.isfile(file) and os.access(file, os.R_OK)


def _is_pair(cert: str, key: str) -> bool:
    """Tell whether the files are a certificate and its key; asks nobody for a passphrase."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError):
        return False
    return True


def _config_of(name: str, text: str, file: str) -> tuple[Mapping[str, Any], str]:
    """Return a capability's configuration, or why it cannot be used."""
    variable = variable_of(name, "CONFIG")
    if text and file:
        return {}, f"{variable} and {variable}_FILE are both set; unset one of them"
    if file:
        variable = f"{variable}_FILE"
        try:
            with open(file, "rb") as opened:
                data = opened.read(MAX_CONFIG_BYTES + 1)
            if len(data) > MAX_CONFIG_BYTES:
                limit = MAX_CONFIG_BYTES // 1024 // 1024
                return {}, f"the file that {variable} names is larger than {limit} MiB"
            text = data.decode("utf-8-sig")
        except (OSError, ValueError) as exc:
            return {}, f"the file that {variable} names cannot be read ({type(exc).__name__})"
    if not text.strip():
        return {}, ""
    try:
        config = _decode(_unquoted(text))
    except (ValueError, RecursionError):
        return {}, f"{variable} is not valid JSON"
    if not isinstance(config, dict):
        return {}, f"{variable} must be a JSON object"
    return config, ""


def _unquoted(text: str) -> str:
    """Take off one pair of single quotes: ``docker --env-file`` leaves those of .env in place."""
    stripped = text.strip()
    quoted = len(stripped) > 1 and stripped[0] == stripped[-1] == "'"
    return stripped[1:-1] if quoted else stripped


def known_variables() -> Iterator[str]:
    """Iterate over the names of all variables."""
    yield from (row.name for row in SETTINGS)
    yield from (f"OPSORCH_PLUGIN_{row.name}" for row in PLUGIN_SETTINGS)
    for capability in CAPABILITIES:
        yield from (variable_of(capability, row.name) for row in PLUGIN_SETTINGS)
        for row in CAPABILITY_SETTINGS:
            yield row.name.replace("<CAP>", capability.upper())

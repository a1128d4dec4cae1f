"""The table of settings: names, parsers, defaults, help. docs/settings.md is made of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from opsorch.observability.redact import Secret

ALL_INTERFACES: Final = "0.0.0.0"  # noqa: S104  The documented default.

# The token, configurations and the secret provider's settings; a path to one is as good as itself.
_CLOSED_TO_PLUGINS: Final = re.compile(
    r"OPSORCH_(BEARER_TOKEN|[A-Z]+_CONFIG|SECRET_\w+)(_FILE)?", re.ASCII
)


class Unfit(ValueError):
    """A value does not fit; the text completes the sentence ``NAME ...``."""


# --- parsers ----------------------------------------------------------------------------------


def text(value: str) -> str:
    """Take any text, trimmed."""
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        # So Python hands over bytes of the environment that are no UTF-8; JSON cannot hold them.
        raise Unfit("must be UTF-8") from exc
    return value.strip()


def json_text(value: str) -> str:
    """Take text that is decoded later: a fault in it concerns one capability alone."""
    return value.strip()


def provider_name(value: str) -> str:
    """Take a name of a provider, trimmed, in any letter case."""
    return text(value).lower()


def secret(value: str) -> Secret:
    """Take a secret that a header can carry, trimmed."""
    found = value.strip()
    if re.search(r"[\x00-\x08\n-\x1f\x7f]", found):
        raise Unfit("must be one line without control characters")
    return Secret(found)


def whole(low: int, high: int) -> Callable[[str], int]:
    """Take a whole number of the range."""

    def parse(value: str) -> int:
        # strip() takes off what int() does not: the separators from 1C to 1F.
        number = value.strip()
        if not re.fullmatch(r"-?\d{1,15}", number) or not low <= int(number) <= high:
            raise Unfit(f"must be a whole number from {low} to {high}")
        return int(number)

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Take seconds of the range, fractions allowed."""

    def parse(value: str) -> float:
        number = value.strip()
        if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", number) or not low <= float(number) <= high:
            raise Unfit(f"must be seconds from {low:g} to {high:g}, such as 30 or 2.5")
        return float(number)

    return parse


def choice(*words: str) -> Callable[[str], str]:
    """Take one of the words, in any letter case."""

    def parse(value: str) -> str:
        if value.strip().lower() not in words:
            raise Unfit(f"must be one of {', '.join(words)}")
        return value.strip().lower()

    return parse


def names(value: str) -> tuple[str, ...]:
    """Take names of variables, comma separated."""
    found = tuple(name.strip() for name in value.split(",") if name.strip())
    if not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in found):
        raise Unfit("must be names of variables, comma separated")
    closed = [name for name in found if _CLOSED_TO_PLUGINS.fullmatch(name)]
    if closed:
        raise Unfit(
            f"must not list {', '.join(closed)}: the gateway's own secrets are shown to no plugin."
            " A plugin's configuration comes with each request; what else it needs, pass under"
            " another name"
        )
    return found


def origins(value: str) -> tuple[str, ...]:
    """Take one or more origins, comma separated."""
    found = tuple(origin.strip() for origin in value.split(",") if origin.strip())
    if not all(origin.isascii() and origin.isprintable() for origin in found):
        raise Unfit("must be origins such as https://console.example.com, comma separated")
    return ("*",) if "*" in found or not found else found


def port(value: str) -> int:
    """Take a TCP port."""
    return whole(0, 65535)(value)


def address(value: str) -> tuple[str, int]:
    """Take ``host:port``, ``:port`` (all interfaces) or ``[ipv6]:port``."""
    host, _, number = value.strip().rpartition(":")
    host = re.sub(r"^\[(.+)\]$", r"\1", host) or ALL_INTERFACES
    fits = re.fullmatch(r"[\w.:%-]+", host, re.ASCII) and re.fullmatch(r"[0-9]{1,5}", number)
    if not fits or ":" not in value or int(number) > 65535:
        raise Unfit("must be host:port or :port, such as 127.0.0.1:8080")
    return host, int(number)


# --- the table --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable, or one for each capability where the name holds ``<CAP>``.

    Attributes:
        field: Name of the attribute of Settings or CapabilitySettings.
        shown: Default as the docs show it.
        help: What it does, in one or two sentences.
        group: Heading in the docs and in .env.example.
    """

    name: str
    field: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    group: str
    shown: str = ""


_SERVER, _SAFETY, _LOGS, _PLUGINS = "Server", "Safety", "Logs and data", "Plugin processes"

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "OPSORCH_ADDR",
        "address",
        address,
        None,
        "Where to listen: `host:port` or `:port`.",
        _SERVER,
        ":8080",
    ),
    Setting(
        "OPSORCH_PORT",
        "port",
        port,
        8080,
        "Port on all interfaces; counts only where OPSORCH_ADDR is unset.",
        _SERVER,
    ),
    Setting(
        "OPSORCH_WORKERS",
        "workers",
        whole(1, 256),
        2,
        "Gunicorn workers. Each has its own plugin processes: there are at most"
        " workers x capabilities x pool size of them.",
        _SERVER,
    ),
    Setting(
        "OPSORCH_THREADS",
        "threads",
        whole(1, 1024),
        64,
        "Threads of a worker; a waiting call holds one.",
        _SERVER,
    ),
    Setting(
        "OPSORCH_MAX_REQUESTS",
        "max_requests",
        whole(0, 10**9),
        0,
        "Requests after which a worker is replaced, jittered; 0: never.",
        _SERVER,
    ),
    Setting(
        "OPSORCH_GRACEFUL_TIMEOUT",
        "graceful_timeout_s",
        seconds(1, 86400),
        None,
        "Seconds in which a stopping worker finishes its calls and drains its plugins.",
        _SERVER,
        "the longest call timeout + 15",
    ),
    Setting(
        "OPSORCH_MAX_BODY_BYTES",
        "max_body_bytes",
        whole(1, 2**30),
        1048576,
        "Size of a request body at most.",
        _SERVER,
    ),
    Setting(
        "OPSORCH_TLS_CERT_FILE",
        "tls_cert_file",
        text,
        "",
        "Certificate chain (PEM); needs OPSORCH_TLS_KEY_FILE.",
        _SAFETY,
    ),
    Setting(
        "OPSORCH_TLS_KEY_FILE",
        "tls_key_file",
        text,
        "",
        "Private key (PEM); needs OPSORCH_TLS_CERT_FILE.",
        _SAFETY,
    ),
    Setting(
        "OPSORCH_CORS_ORIGIN",
        "cors_origins",
        origins,
        ("*",),
        "Origin that browsers may call from; several, comma separated: the matching one is sent.",
        _SAFETY,
        "*",
    ),
    Setting(
        "OPSORCH_BEARER_TOKEN",
        "bearer_token",
        secret,
        None,
        "Token that callers must present; unset: everybody may call.",
        _SAFETY,
    ),
    Setting(
        "OPSORCH_BEARER_TOKEN_FILE",
        "bearer_token_file",
        text,
        "",
        "File that holds the token, instead of OPSORCH_BEARER_TOKEN.",
        _SAFETY,
    ),
    Setting(
        "OPSORCH_LOG_LEVEL",
        "log_level",
        choice("debug", "info", "warning", "error"),
        "info",
        "debug, info, warning or error.",
        _LOGS,
    ),
    Setting(
        "OPSORCH_LOG_FORMAT",
        "log_format",
        choice("json", "console"),
        "json",
        "json, or console for people.",
        _LOGS,
    ),
    Setting(
        "OPSORCH_DATA_DIR",
        "data_dir",
        text,
        "",
        "Folder of the providers that keep data (demo, orchestration);"
        " a relative one starts at the working directory.",
        _LOGS,
        "$XDG_STATE_HOME/opsorch, else ~/.local/state/opsorch",
    ),
)

# Each may be set for all capabilities (OPSORCH_PLUGIN_X) and for one (OPSORCH_<CAP>_X).
PLUGIN_SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "TIMEOUT",
        "timeout_s",
        seconds(0.1, 3600),
        30.0,
        "Seconds that one call may take, waiting for a process included.",
        _PLUGINS,
    ),
    Setting(
        "QUEUE_TIMEOUT",
        "queue_timeout_s",
        seconds(0, 3600),
        5.0,
        "Seconds that a call waits for a free process.",
        _PLUGINS,
    ),
    Setting(
        "IDLE_TIMEOUT",
        "idle_timeout_s",
        seconds(0.1, 10**6),
        300.0,
        "Seconds after which an idle process is stopped.",
        _PLUGINS,
    ),
    Setting(
        "POOL_SIZE",
        "pool_size",
        whole(1, 256),
        4,
        "Processes at most, of each worker and capability.",
        _PLUGINS,
    ),
    Setting(
        "MIN_IDLE",
        "min_idle",
        whole(0, 256),
        0,
        "Processes started ahead and kept waiting; no more than the pool may have.",
        _PLUGINS,
    ),
    Setting(
        "MAX_CALLS",
        "max_calls",
        whole(0, 10**9),
        0,
        "Calls after which a process is replaced, jittered; 0: never.",
        _PLUGINS,
    ),
    Setting(
        "MAX_REPLY_BYTES",
        "max_reply_bytes",
        whole(1024, 2**31),
        67108864,
        "Size of a reply at most.",
        _PLUGINS,
    ),
    Setting(
        "MAX_MEMORY_MB",
        "max_memory_mb",
        whole(0, 10**6),
        0,
        "Resident MiB above which a process is replaced after its reply; 0: no limit.",
        _PLUGINS,
    ),
    Setting("NICE", "nice", whole(0, 19), 0, "Niceness added to the processes.", _PLUGINS),
    Setting(
        "ENV",
        "env",
        names,
        (),
        "Names of variables that the processes may see, comma separated; not the gateway's own"
        " secrets. A value whose variable's name says token, password, key and the like is masked"
        " in answers and logs.",
        _PLUGINS,
    ),
)

CAPABILITY_SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "OPSORCH_<CAP>_PLUGIN",
        "plugin",
        text,
        "",
        "Path of an executable, or `bundled:<adapter>`, that answers for the capability.",
        "Capabilities",
    ),
    Setting(
        "OPSORCH_<CAP>_PROVIDER",
        "provider",
        provider_name,
        "",
        "Name of an adapter that runs inside the gateway, in any letter case; OPSORCH_<CAP>_PLUGIN"
        " wins.",
        "Capabilities",
    ),
    Setting(
        "OPSORCH_<CAP>_CONFIG",
        "config",
        json_text,
        "",
        "Its configuration, one JSON object.",
        "Capabilities",
        "{}",
    ),
    Setting(
        "OPSORCH_<CAP>_CONFIG_FILE",
        "config_file",
        text,
        "",
        "File that holds it, instead of OPSORCH_<CAP>_CONFIG.",
        "Capabilities",
    ),
    Setting(
        "OPSORCH_<CAP>_MAX_CONCURRENCY",
        "max_concurrency",
        whole(1, 10**5),
        None,
        "Calls in flight and waiting, of a worker.",
        "Capabilities",
        "threads - 2, at least 1",
    ),
)

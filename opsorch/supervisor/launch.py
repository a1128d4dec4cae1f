"""How a plugin is launched: why its file cannot run, the launcher before it, its environment.

The launcher asks the kernel to kill the plugin when the gateway's spawning thread ends
(PR_SET_PDEATHSIG, prctl(2)), then looks whether the gateway is still its parent: a parent that
died before prctl ran would go unnoticed. Both survive the exec of the plugin. It also forbids core
dumps, which may hold secrets.
"""

import os
import shutil
import stat
import sys
from collections.abc import Mapping
from typing import Final

from opsorch.errors import PluginNotFound, PluginStartFailed
from opsorch.supervisor.spec import PluginSpec

OWNER_VARIABLE: Final = "OPSORCH_PLUGIN_OWNER"

# Variables of the gateway that every plugin sees.
PASSED: Final = frozenset(
    {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "REQUESTS_CA_BUNDLE", "OPSORCH_LOG_LEVEL"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
)
PASSED_PREFIXES: Final = ("LC_", "SSL_CERT_")

_SHELL: Final = (
    '[ "$PPID" = "$1" ] || exit 125; ulimit -c 0; n=$2; shift 2;'
    ' [ "$n" = 0 ] || exec nice -n "$n" "$@"; exec "$@"'
)
_PYTHON: Final = (
    "import ctypes, os, resource, sys\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"
    "os.getppid() == int(sys.argv[1]) or os._exit(125)\n"
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    "os.nice(int(sys.argv[2]))\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)

_MACHINES: Final = {3: "x86", 40: "ARM", 62: "x86-64", 183: "ARM64", 243: "RISC-V"}
_MACHINE_OF: Final = {"x86_64": 62, "aarch64": 183, "armv7l": 40, "i686": 3, "riscv64": 243}


def launcher(parent: int, nice: int) -> tuple[str, ...]:
    """Return the command that a plugin's command is appended to.

    Args:
        parent: Process id that must be the launcher's parent, or the plugin does not start.
        nice: Niceness to add.
    """
    setpriv, shell = shutil.which("setpriv"), shutil.which("sh")
    facts = (str(parent), str(nice))
    if setpriv and shell:
        return (setpriv, "--pdeathsig", "KILL", "--", shell, "-c", _SHELL, "opsorch", *facts)
    return (sys.executable, "-I", "-S", "-c", _PYTHON, *facts)


def plugin_environment(
    environ: Mapping[str, str], *, also: tuple[str, ...] = (), data_dir: str = ""
) -> dict[str, str]:
    """Pick what a plugin may see of the gateway's environment.

    Args:
        environ: The gateway's environment.
        also: Further names (OPSORCH_PLUGIN_ENV).
        data_dir: OPSORCH_DATA_DIR, absolute.
    """
    picked = {
        name: value
        for name, value in environ.items()
        if name in PASSED or name in also or name.startswith(PASSED_PREFIXES)
    }
    if data_dir:
        picked["OPSORCH_DATA_DIR"] = data_dir
    return {**picked, "PYTHONUNBUFFERED": "1"}


def look_at_file(spec: PluginSpec) -> tuple[str, ...]:
    """Look whether the plugin's file can be executed.

    Returns:
        Warnings: what is odd about it but does not hinder it.

    Raises:
        PluginNotFound: There is no such file.
        PluginStartFailed: It cannot be executed; says why.
    """
    path = spec.command[0]
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise PluginNotFound(
            f"There is no file at {path}, the plugin of {spec.label!r}. Correct {spec.setting}."
        ) from exc
    except OSError as exc:
        raise _unfit(spec, f"it cannot be looked at ({exc.strerror})") from exc
    if not stat.S_ISREG(mode):
        raise _unfit(spec, "it is a directory" if stat.S_ISDIR(mode) else "it is no regular file")
    if not mode & 0o111 or not os.access(path, os.X_OK):
        raise _unfit(spec, f"it is not executable (mode {stat.S_IMODE(mode):04o})")
    reason = _wrong_format(path)
    if reason:
        raise _unfit(spec, reason)
    return ("world-writable",) if mode & 0o002 else ()


def _unfit(spec: PluginSpec, reason: str) -> PluginStartFailed:
    failed = PluginStartFailed(
        f"The plugin of {spec.label!r} ({spec.command[0]}) cannot be started: {reason}."
        f" Correct the file or {spec.setting}."
    )
    failed.reason = reason
    return failed


def _wrong_format(path: str) -> str:
    """Say why the kernel would refuse to execute the file, "" where it would not."""
    try:
        with open(path, "rb") as file:
            head = file.read(256)
    except OSError:
        # Executable but not readable is fine for the kernel.
        return ""
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n", 1)[0].decode("utf-8", "replace").split()
        if not words:
            return "its first line names no interpreter"
        return "" if os.access(words[0], os.X_OK) else f"its interpreter {words[0]} is missing"
    if head.startswith(b"\x7fELF"):
        return _wrong_machine(head)
    return "it is neither an ELF file nor a script with a #! line"


def _wrong_machine(head: bytes) -> str:
    machine = int.from_bytes(head[18:20], "little" if head[5:6] == b"\x01" else "big")
    own = _MACHINE_OF.get(os.uname().machine)
    if len(head) < 20:
        return "its ELF header is cut"
    # A 64-bit kernel runs 32-bit programs of its own family; leave the verdict to it.
    if own is None or machine == own or (own, machine) in ((62, 3), (183, 40)):
        return ""
    name = _MACHINES.get(machine, f"machine {machine}")
    return f"it is built for {name}, this machine is {os.uname().machine}"

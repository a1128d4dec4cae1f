"""The configuration that all ten demo providers share."""

import datetime
import errno
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from opsorch.plugin.config import ConfigSpec, Field, Kind, Unfit, number, text
from opsorch.plugin.times import parse_time
from opsorch_plugins.demo.world import STAGING

FILE_NAME: Final = "demo.db"

# The word that stands for "when the database was first seeded".
SEEDED: Final = "seed"


def _folder() -> Kind:
    """Take a path; ``~`` stands for a home."""
    path = text(r"[^\x00]+")

    def parse(value: Any) -> str:
        try:
            return str(Path(path.parse(value)).expanduser())
        except RuntimeError as exc:
            raise Unfit("names the home of a user who is not known") from exc

    return Kind(parse, path.schema)


def _anchor() -> Kind:
    """Take ``seed`` or an RFC 3339 time."""

    def parse(value: Any) -> datetime.datetime | str:
        word = value.strip() if isinstance(value, str) else ""
        if word.casefold() == SEEDED:
            return SEEDED
        try:
            return parse_time(word)
        except ValueError as exc:
            raise Unfit(f"must be {SEEDED!r} or an RFC 3339 time with a zone") from exc

    return Kind(parse, {"type": "string"})


def _not_staging(settings: Mapping[str, Any]) -> str | None:
    taken = settings["environment"].casefold() == STAGING
    return f"field environment must not be {STAGING}, which exists beside it" if taken else None


DEMO_CONFIG: Final = ConfigSpec(
    "demo",
    (
        Field(
            "dataDir",
            _folder(),
            help="Folder that holds demo.db; $OPSORCH_DATA_DIR unless given.",
        ),
        Field(
            "anchor",
            _anchor(),
            default=SEEDED,
            help="The instant 'now' of the story: 'seed' (when the database was first seeded,"
            " cut to the minute) or an RFC 3339 time.",
        ),
        Field("seed", text(), default="opsorch", help="Text mixed into every hash."),
        Field("organization", text(), default="demo-org", help="Tag on teams."),
        Field("source", text(), default="demo", help="metadata.source of every object."),
        Field(
            "environment",
            text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "must be a name of at most 64 characters"),
            default="prod",
            help="Environment of the seeded world; staging exists beside it.",
        ),
        Field(
            "stepSeconds",
            number(0, 3600),
            default=10,
            help="How long a simulated automated step takes, in seconds.",
        ),
    ),
    rules=(_not_staging,),
)


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """The parsed configuration.

    Attributes:
        anchor: The configured instant, or None for that of the first seeding.
    """

    data_dir: Path
    anchor: datetime.datetime | None
    seed: str
    organization: str
    source: str
    environment: str
    step_seconds: float

    @classmethod
    def of(
        cls, settings: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> "DemoSettings":
        """Take over what DEMO_CONFIG parsed; fill in the data directory from the environment."""
        given = settings["dataDir"]
        environ = os.environ if environ is None else environ
        folder = Path(given) if given else default_data_dir(environ)
        return cls(
            data_dir=folder.absolute(),
            anchor=None if settings["anchor"] == SEEDED else settings["anchor"],
            seed=settings["seed"],
            organization=settings["organization"],
            source=settings["source"],
            environment=settings["environment"],
            step_seconds=float(settings["stepSeconds"]),
        )


def hindrance(config: Mapping[str, Any], data_dir: Path) -> str:
    """Say why the database cannot be opened here, "" where it can; leaves nothing behind.

    The gateway asks by the entry point ``opsorch.provider_hindrances``.

    Args:
        config: The configuration.
        data_dir: OPSORCH_DATA_DIR.

    Raises:
        InvalidConfig: The configuration does not fit.
    """
    environ = {"OPSORCH_DATA_DIR": str(data_dir)}
    place = DemoSettings.of(DEMO_CONFIG.parse(config), environ).data_dir
    file = place / FILE_NAME
    try:
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        # It is made at the first call, with what is missing above it.
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            return ""
    except OSError as exc:
        return (
            "demo config: field dataDir (OPSORCH_DATA_DIR unless given): the folder cannot be"
            f" written ({exc.strerror})"
        )


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Return where state is kept unless the configuration says otherwise."""
    named = environ.get("OPSORCH_DATA_DIR", "").strip()
    if named:
        return Path(named).expanduser()
    state_home = environ.get("XDG_STATE_HOME", "").strip()
    root = Path(state_home) if state_home else Path("~/.local/state").expanduser()
    return root / "opsorch"

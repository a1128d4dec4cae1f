"""The tables of plans under way, and their schema version.

Instants are whole microseconds since 1970: exact, ordered, and the same in every zone.
"""

import datetime
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    select,
)
from sqlalchemy.engine import Connection

from opsorch.errors import InvalidConfig

SCHEMA_VERSION: Final = 1
_VERSION_KEY: Final = "schema_version"

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("plan_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("version", Text, nullable=False),
    # What queries search: title, description, plan id and run id, case folded, a line each.
    Column("search", Text, nullable=False),
    # The plan as it was at the start, with all that runs need; later edits do not touch them.
    Column("snapshot", JSON, nullable=False),
    Column("service", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("cancel_note", Text, nullable=False, default=""),
    Column("revision", Integer, nullable=False),
    Column("fields", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Index("runs_by_time", "created_us", "id"),
    Index("runs_by_status", "status"),
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("step_id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("automated", Boolean, nullable=False),
    Column("optional", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("started_us", BigInteger),
    Column("finished_us", BigInteger),
    Column("updated_us", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("lease_owner", Text),
    Column("lease_until_us", BigInteger),
    Column("fields", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Index("steps_by_status", "status", "automated"),
)

dependencies = Table(
    "dependencies",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("step_id", Text, primary_key=True),
    Column("depends_on", Text, primary_key=True),
    ForeignKeyConstraint(
        ["run_id", "step_id"], ["steps.run_id", "steps.step_id"], ondelete="CASCADE"
    ),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("step_id", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("from_status", Text, nullable=False),
    Column("to_status", Text, nullable=False),
    Column("note", Text, nullable=False),
    Index("events_by_run", "run_id", "id"),
)

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND: Final = datetime.timedelta(microseconds=1)


def micros(moment: datetime.datetime) -> int:
    """Return an instant as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(since_1970_us: int) -> datetime.datetime:
    """Return the instant, in UTC, that lies so many microseconds after 1970."""
    return _EPOCH + datetime.timedelta(microseconds=since_1970_us)


def ensure_schema(connection: Connection) -> None:
    """Create the tables where they are missing; the caller has the write lock and commits.

    Raises:
        InvalidConfig: A newer release has written the database.
    """
    metadata.create_all(connection)
    known = connection.scalar(select(meta.c.value).where(meta.c.key == _VERSION_KEY))
    if known is None:
        row = {"key": _VERSION_KEY, "value": str(SCHEMA_VERSION)}
        connection.execute(insert(meta), [row])
    elif int(known) > SCHEMA_VERSION:
        raise InvalidConfig(
            f"the state store has schema version {known}, this release knows {SCHEMA_VERSION};"
            " use the newer release, or another store"
        )

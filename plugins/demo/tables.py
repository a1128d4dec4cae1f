"""The tables of demo.db beside those of the orchestration engine.

Instants are whole microseconds since 1970, as they are there (``opsorch.runbooks.tables``).
"""

from typing import Final

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text

SCHEMA_VERSION: Final = "1"

metadata = MetaData()

# The engine of the runbooks has a table ``meta`` of its own.
demo_meta = Table(
    "demo_meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    # When it left ``open``, and when it became resolved or closed; null while it has not.
    Column("acknowledged_us", BigInteger),
    Column("ended_us", BigInteger),
    Column("fields", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Index("incidents_by_time", "created_us", "id"),
    Index("incidents_ended", "ended_us"),
)

timeline = Table(
    "timeline",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incident_id", Text, ForeignKey("incidents.id"), nullable=False),
    # The position breaks ties of ``at``: ids sort as text, so t10 comes before t2.
    Column("position", Integer, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("actor", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Index("timeline_by_incident", "incident_id", "at_us", "position"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("assignees", JSON, nullable=False),
    Column("reporter", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("fields", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Index("tickets_by_time", "updated_us", "id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("blocks", JSON, nullable=False),
    Column("thread_ref", Text, nullable=False),
    Column("sent_us", BigInteger, nullable=False),
    Column("metadata", JSON, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Integer, nullable=False),
)

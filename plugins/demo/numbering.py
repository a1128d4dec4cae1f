"""Numbers for new objects, never given twice."""

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from opsorch_plugins.demo.tables import counters


def next_number(connection: Connection, name: str) -> int:
    """Return the next number of a counter, 1 where it is new; the caller has the write lock."""
    own = counters.c.name == name
    changed = connection.execute(update(counters).where(own).values(value=counters.c.value + 1))
    if not changed.rowcount:
        connection.execute(insert(counters).values(name=name, value=1))
        return 1
    return int(connection.execute(select(counters.c.value).where(own)).scalar_one())

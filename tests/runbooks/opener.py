"""A process that opens a database when it is told to and adds to a counter a number of times."""

import sys
from pathlib import Path

from opsorch.runbooks.database import open_file


def main() -> None:
    path, times = Path(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    database = open_file(path)
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS counter (value INTEGER NOT NULL)")
        if not connection.exec_driver_sql("SELECT count(*) FROM counter").scalar():
            connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
    for _ in range(times):
        with database.writing() as connection:
            value = connection.exec_driver_sql("SELECT value FROM counter").scalar_one()
            connection.exec_driver_sql(f"UPDATE counter SET value = {value + 1}")
    print("done", flush=True)


if __name__ == "__main__":
    main()

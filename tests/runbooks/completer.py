"""A process that completes steps as it is told: a run id and a step id a line of stdin."""

import sys
from pathlib import Path

from opsorch.errors import OpsOrchError
from opsorch.plugin.times import now
from opsorch.runbooks import store
from opsorch.runbooks.database import open_file
from opsorch.runbooks.requests import completion_of
from opsorch.runbooks.tables import micros


def main() -> None:
    database, actor = open_file(Path(sys.argv[1])), sys.argv[2]
    for line in sys.stdin:
        run_id, step_id = line.split()
        completion = completion_of({"runId": run_id, "stepId": step_id}, actor)
        try:
            with database.writing() as connection:
                run = store.load(connection, run_id)
                run.complete(completion, at_us=micros(now()))
                run.save()
        except OpsOrchError as error:
            print(error.code, flush=True)
        else:
            print("ok", flush=True)


if __name__ == "__main__":
    main()

"""Starts a grandchild in a session of its own, tells its pid, and answers."""

import json
import os
import sys

for line in sys.stdin:
    request = json.loads(line)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(request["payload"]["tell"] + ".new", "w") as file:
                file.write(str(os.getpid()))
            os.rename(request["payload"]["tell"] + ".new", request["payload"]["tell"])
            os.execvp("sleep", ["sleep", "99"])
        os._exit(0)
    os.wait()
    print(json.dumps({"result": os.getpid(), "id": request["id"]}), flush=True)

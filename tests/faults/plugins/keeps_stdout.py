"""Starts a child that holds its stdout, tells its pid; exits, hangs or answers as it is told."""

import json
import os
import subprocess
import sys
import time

for line in sys.stdin:
    request = json.loads(line)
    payload = request["payload"]
    child = subprocess.Popen(["sleep", "99"])
    with open(payload["tell"], "w") as file:
        file.write(str(child.pid))
    if payload["then"] == "exit":
        os._exit(3)
    if payload["then"] == "hang":
        time.sleep(99)
    print(json.dumps({"result": os.getpid(), "id": request["id"]}), flush=True)

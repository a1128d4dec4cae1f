"""Starts a child that holds its stdout, tells its pid, and exits or hangs as the payload says."""

import json
import os
import subprocess
import sys
import time

for line in sys.stdin:
    payload = json.loads(line)["payload"]
    child = subprocess.Popen(["sleep", "99"])
    with open(payload["tell"], "w") as file:
        file.write(str(child.pid))
    if payload["then"] == "exit":
        os._exit(3)
    time.sleep(99)

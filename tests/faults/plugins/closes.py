"""Closes one of its descriptors, named by the payload, then answers and goes on."""

import json
import os
import sys
import time

for line in sys.stdin:
    request = json.loads(line)
    asked = request["payload"]
    if asked:
        os.close(asked)
    if asked == 1:
        time.sleep(3600)
    os.write(1, json.dumps({"result": os.getpid(), "id": request["id"]}).encode() + b"\n")

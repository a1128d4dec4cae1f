"""Answers every request with its payload, its pid and the number of the request."""

import json
import os
import sys

for number, line in enumerate(sys.stdin):
    request = json.loads(line)
    result = {"payload": request["payload"], "pid": os.getpid(), "number": number}
    print(json.dumps({"result": result, "id": request["id"]}), flush=True)

"""Answers with what its open descriptors are."""

import json
import os
import sys

for line in sys.stdin:
    request = json.loads(line)
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    if request["method"].endswith(".query"):
        result = [{"id": "descriptors", "metadata": found}]
    else:
        result = found
    print(json.dumps({"result": result, "id": request["id"]}), flush=True)

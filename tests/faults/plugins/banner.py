"""Prints a banner when it starts, then answers with its pid."""

import json
import os
import sys

print("Welcome to the plugin, version 3\n" + json.dumps({"level": "info", "msg": "up"}), flush=True)
for line in sys.stdin:
    print(json.dumps({"result": os.getpid(), "id": json.loads(line)["id"]}), flush=True)

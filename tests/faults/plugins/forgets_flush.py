"""Prints its replies and never flushes them."""

import json
import sys

for line in sys.stdin:
    print(json.dumps({"result": None, "id": json.loads(line)["id"]}))

"""Answers with an empty list, a short nap later."""

import json
import sys
import time

for line in sys.stdin:
    request = json.loads(line)
    time.sleep(request["config"]["nap_s"])
    print(json.dumps({"result": [], "id": request["id"]}), flush=True)

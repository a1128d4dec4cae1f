"""Takes START_S seconds before it reads its first request."""

import json
import os
import sys
import time

time.sleep(float(os.environ["START_S"]))
for line in sys.stdin:
    print(json.dumps({"result": None, "id": json.loads(line)["id"]}), flush=True)

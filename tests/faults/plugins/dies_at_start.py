"""Ends as soon as it starts, with a word on stderr, until the file beside it exists.

Then it answers with its pid, once the file exists that the payload names.
"""

import json
import os
import sys
import time

with open(__file__ + ".starts", "a") as file:
    file.write(f"{os.getpid()}\n")
if not os.path.exists(__file__ + ".mended"):
    print("no licence found", file=sys.stderr)
    sys.exit(1)
with open(__file__ + ".up", "a") as file:
    file.write(f"{os.getpid()}\n")
for line in sys.stdin:
    request = json.loads(line)
    while request["payload"] and not os.path.exists(request["payload"]):
        time.sleep(0.005)
    print(json.dumps({"result": os.getpid(), "id": request["id"]}), flush=True)

"""Notes each request in a file, and answers once another one exists that the configuration names.

The answer is an empty list, or the pid where a payload asks for it.
"""

import json
import os
import sys
import time

for line in sys.stdin:
    request = json.loads(line)
    with open(request["config"]["log"], "a") as file:
        file.write(f"{request['payload']}\n")
    while not os.path.exists(request["config"]["until"]):
        time.sleep(0.005)
    result = os.getpid() if request["payload"] == "pid" else []
    print(json.dumps({"result": result, "id": request["id"]}), flush=True)

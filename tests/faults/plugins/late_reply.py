"""Answers with the payload's mark, so many seconds later; carries no id."""

import json
import sys
import time

for line in sys.stdin:
    asked = json.loads(line)["payload"]
    time.sleep(asked["after_s"])
    print(json.dumps({"result": asked["mark"]}), flush=True)

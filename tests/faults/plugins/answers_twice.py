"""Answers each request, and one that begins with "bad" a moment later again; carries no id."""

import json
import os
import sys
import time

for line in sys.stdin:
    payload = json.loads(line)["payload"]
    reply = json.dumps({"result": payload}).encode() + b"\n"
    os.write(1, reply)
    if payload.startswith("bad"):
        time.sleep(0.002)
        os.write(1, reply)

"""Writes the pieces that the payload lists, as bytes, with a pause between; ID is the request's.

A payload without pieces is answered with the pid.
"""

import json
import os
import sys
import time


def put(data):
    while data:
        data = data[os.write(1, data) :]


for line in sys.stdin:
    request = json.loads(line)
    asked = request["payload"] or {}
    for number, piece in enumerate(asked.get("pieces", ())):
        if number:
            time.sleep(asked["pause_s"])
        put(piece.encode("latin-1").replace(b"ID", request["id"].encode()))
    if not asked:
        put(json.dumps({"result": os.getpid(), "id": request["id"]}).encode() + b"\n")

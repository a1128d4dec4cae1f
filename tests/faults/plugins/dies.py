"""Ends in the middle of a call, in the way that the payload names; once, where it names a file."""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys


def out_of_memory():
    resource.setrlimit(resource.RLIMIT_AS, (64 * 2**20, 64 * 2**20))
    bytearray(2**30)


def half_a_line():
    os.write(1, b'{"resu')
    os._exit(3)


WAYS = {
    "exit": lambda: os._exit(3),
    "half a line": half_a_line,
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "memory": out_of_memory,
}

for line in sys.stdin:
    request = json.loads(line)
    asked = request["payload"] or {}
    log = request["config"].get("log")
    if log:
        with open(log, "a") as file:
            file.write(request["id"] + "\n")
    first = True
    if asked.get("once"):
        with contextlib.suppress(FileExistsError):
            os.close(os.open(asked["once"], os.O_CREAT | os.O_EXCL))
            asked["once"] = ""
        first = not asked["once"]
    if "how" in asked and first:
        WAYS[asked["how"]]()
    print(json.dumps({"result": {"pid": os.getpid()}, "id": request["id"]}), flush=True)

"""Does what the metadata of a request says, then answers with its pid as the id."""

import json
import os
import signal
import socket
import subprocess
import sys

stays = False
for line in sys.stdin:
    request = json.loads(line)
    payload = request["payload"] or {}
    orders = payload.get("metadata") or {}
    if "journal" in orders:
        with open(orders["journal"], "a") as file:
            file.write(f"{request['method']} {payload.get('title', '')}\n")
    if "stray" in orders and os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(orders["stray"], "w") as file:
                file.write(str(os.getpid()))
            os.closerange(0, 3)
            os.execvp("sleep", ["sleep", "99"])
        os._exit(0)
    if "hold" in orders:
        with socket.create_connection(("127.0.0.1", orders["hold"])) as line_to_test:
            line_to_test.sendall(b"%d\n" % os.getpid())
            line_to_test.recv(1)
    if "stay" in orders:
        # With a child in its group, through every polite sign.
        stays = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        nothing = subprocess.DEVNULL
        child = subprocess.Popen(["sleep", "99"], stdin=nothing, stdout=nothing, stderr=nothing)
        with open(orders["stay"], "w") as file:
            file.write(str(child.pid))
    if "exit" in orders:
        os._exit(orders["exit"])
    if "signal" in orders:
        os.kill(os.getpid(), getattr(signal, orders["signal"]))
    if "complain" in orders:
        secret = request["config"]["token"]
        print(f"the vendor refused {secret}", file=sys.stderr, flush=True)
        error = {"code": "provider_error", "message": f"the vendor refused {secret}"}
        print(json.dumps({"error": error, "id": request["id"]}), flush=True)
        continue
    record = {"id": str(os.getpid()), "title": request["config"].get("name", "")}
    if "size" in orders:
        record["description"] = "x" * orders["size"]
    result = [record] if request["method"].endswith(".query") else record
    print(json.dumps({"result": result, "id": request["id"]}), flush=True)
while stays:
    signal.pause()

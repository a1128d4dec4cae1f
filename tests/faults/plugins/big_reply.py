"""Answers with so many MiB; with a line without end where none are asked for."""

import json
import os
import sys

MIB = b"x" * 2**20


def put(data):
    while data:
        data = data[os.write(1, data) :]


for line in sys.stdin:
    request = json.loads(line)
    put(b'{"id":%b,"result":"' % json.dumps(request["id"]).encode())
    if request["payload"] is None:
        while True:
            put(MIB)
    for _ in range(request["payload"]):
        put(MIB)
    put(b'"}\n')

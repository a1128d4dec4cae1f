"""Writes a byte of its reply for each byte of the request that it reads, before it read all."""

import os


def put(data):
    while data:
        data = data[os.write(1, data) :]


while chunk := os.read(0, 4096):
    put(b'{"result":"')
    while not chunk.endswith(b"\n"):
        put(b"x" * len(chunk))
        chunk = os.read(0, 4096)
    put(b"x" * len(chunk) + b'"}\n')

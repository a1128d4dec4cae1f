"""Drive a plugin as a real process, the way the gateway does, from a test."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from opsorch.plugin.provider import Provider

Json = dict[str, Any]

DEFAULT_TIMEOUT_S: Final = 30.0
_CHUNK = 65536


class PluginProcess:
    """A running plugin. One call at a time; not thread-safe."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start the command in a small environment, as the gateway would."""
        passed = ("PATH", "HOME", "LANG", "TMPDIR", "REQUESTS_CA_BUNDLE", "PYTHONPATH")
        small = {name: os.environ[name] for name in passed if name in os.environ}
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**small, "PYTHONUNBUFFERED": "1", **(env or {})},
            start_new_session=True,
        )
        self._stderr = b""
        self._buffer = bytearray()
        self._closed = False

    @property
    def pid(self) -> int:
        """Process id of the plugin."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status after ``close()``: 0 is a plugin that left at the end of its stdin."""
        return self._process.returncode

    def call(
        self,
        method: str,
        payload: Any = None,
        *,
        config: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Json:
        """Send one request and return the reply frame: ``{"result": ...}`` or ``{"error": ...}``.

        Raises:
            TimeoutError: No whole line came within ``timeout_s``.
            EOFError: The plugin ended; the message holds its stderr.
        """
        frame: Json = {"method": method, "config": dict(config or {}), "payload": payload}
        if context is not None:
            frame["context"] = dict(context)
        return self.send_line(json.dumps(frame).encode(), timeout_s=timeout_s)

    def send_line(self, line: bytes, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Json:
        """Send raw bytes as one line and return the decoded reply."""
        reply: Json = json.loads(self._exchange(line + b"\n", time.monotonic() + timeout_s))
        return reply

    def _exchange(self, line: bytes, until: float) -> bytes:
        """Write a line and read one, both at once: a plugin may write before it has read all."""
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None and stdout is not None and stderr is not None
        unsent = memoryview(line)
        outputs = [stdout, stderr]
        looked_at = 0
        while (end := self._buffer.find(b"\n", looked_at)) < 0 or unsent:
            looked_at = len(self._buffer) if end < 0 else looked_at
            wait_s = max(0.0, until - time.monotonic())
            ready, writable, _ = select.select(outputs, [stdin] if unsent else [], [], wait_s)
            if not ready and not writable:
                raise TimeoutError("the plugin did not answer")
            if stderr in ready and not self._take_stderr():
                outputs.remove(stderr)
            if stdout in ready:
                chunk = os.read(stdout.fileno(), _CHUNK)
                if not chunk:
                    raise EOFError(f"the plugin ended: {self._stderr.decode(errors='replace')}")
                self._buffer += chunk
            if writable:
                unsent = self._sent(unsent)
        found = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return found

    def _take_stderr(self) -> bool:
        """Keep what stands in stderr; tell whether there may be more."""
        assert self._process.stderr is not None
        chunk = os.read(self._process.stderr.fileno(), _CHUNK)
        self._stderr += chunk
        return bool(chunk)

    def _sent(self, unsent: memoryview) -> memoryview:
        """Write what fits into the pipe without waiting; return the rest."""
        assert self._process.stdin is not None
        try:
            # A pipe that select() calls writable takes this much at once.
            return unsent[os.write(self._process.stdin.fileno(), unsent[: select.PIPE_BUF]) :]
        except BrokenPipeError:
            return unsent[:0]

    def close(self) -> str:
        """End the plugin by closing its stdin; kill it and its children after 5 s.

        Returns its stderr; may be called twice.
        """
        if not self._closed:
            self._closed = True
            try:
                _, stderr = self._process.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                _, stderr = self._process.communicate()
            self._stderr += stderr
        return self._stderr.decode(errors="replace")


def command_of(provider_class: type[Provider]) -> list[str]:
    """Return the command that serves a provider class as a plugin."""
    target = f"{provider_class.__module__}:{provider_class.__qualname__}"
    return [sys.executable, "-P", "-m", "opsorch.plugin.run", target]


@contextlib.contextmanager
def run_plugin(
    command: Sequence[str] | type[Provider], env: Mapping[str, str] | None = None
) -> Iterator[PluginProcess]:
    """Run a plugin for the length of a ``with`` block; it is ended and reaped afterwards."""
    process = PluginProcess(command_of(command) if isinstance(command, type) else command, env)
    try:
        yield process
    finally:
        process.close()

"""The loop that a plugin process runs: one frame in, one frame out, until stdin ends."""

import contextlib
import gc
import logging
import math
import os
import queue
import re
import select
import sys
import threading
import traceback
from typing import Any, Final

import msgspec

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, OpsOrchError, ProviderError
from opsorch.plugin.provider import DEFAULT_TIMEOUT_S, Call, Dispatcher, Provider

log = logging.getLogger("opsorch.plugin")

_READ_BYTES: Final = 1024 * 1024
# The answer of this plugin must reach the gateway before the gateway gives up on it.
MARGIN_S: Final = 0.5
MARGIN_SHARE: Final = 0.1
# Without a deadline of the gateway; no adapter's timeoutSeconds is longer.
LONGEST_CALL_S: Final = DEFAULT_TIMEOUT_S * 10
# A call that is under way when stdin ends may finish; one that hangs for longer never will.
_LAST_CALL_S: Final = LONGEST_CALL_S + 30
_LONGEST_WAIT_S: Final = 30 * 86_400

# Objects made until garbage is looked for.
GARBAGE_THRESHOLD: Final = 10_000

_END = b""


def serve(provider_class: type[Provider]) -> None:
    """Answer frames on descriptor 0 until it ends.

    Descriptors 0 and 1 are kept for frames: whatever else prints lands on stderr, and whatever
    else reads, a child process say, finds nothing. A bad line is answered with bad_request and
    the loop goes on. Blocks for the life of the process.
    """
    requests, replies = _keep_for_frames(0, os.O_RDONLY), _keep_for_frames(1, os.O_WRONLY)
    with contextlib.suppress(OSError):  # Without a stderr, stray prints go nowhere.
        os.dup2(2, 1)
    _log_to_stderr()
    _collect_garbage_seldom()
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    reader = threading.Thread(
        target=_watch, args=(requests, replies, lines), name="stdin", daemon=True
    )
    reader.start()
    _answer_all(Dispatcher(provider_class), lines, replies)


def _collect_garbage_seldom() -> None:
    """Let large answers be built without a look through all of their objects every now and then.

    10,000 log entries are 150,000 objects, none of them garbage before the reply is written; with
    Python's own threshold of 700 the looks take as long as everything else.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)


def _keep_for_frames(descriptor: int, mode: int) -> int:
    """Move a standard stream out of reach of other code and of children; leave /dev/null there."""
    kept = os.dup(descriptor)
    null = os.open(os.devnull, mode)
    os.dup2(null, descriptor)
    os.close(null)
    return kept


def _answer_all(dispatcher: Dispatcher, lines: "queue.SimpleQueue[bytes]", replies: int) -> None:
    """Answer each line until the last; stop where nobody is left to read the answers."""
    while (line := lines.get()) != _END:
        if line.strip():
            try:
                _write_all(replies, _answer(dispatcher, line) + b"\n")
            except OSError:
                return


def budget_s(timeout_ms: float) -> float:
    """Return the seconds that a call may take here when the gateway waits ``timeout_ms`` longer."""
    timeout_s = timeout_ms / 1000
    return max(0.0, timeout_s - min(MARGIN_S, timeout_s * MARGIN_SHARE))


def _answer(dispatcher: Dispatcher, line: bytes) -> bytes:
    """Turn one request line into one reply, whatever the line is."""
    request: dict[str, Any] = {}
    try:
        request = _request(line)
        result = dispatcher.call(
            request.get("method", ""),
            request.get("config"),
            request.get("payload"),
            _call_of(request.get("context")),
        )
        return _encoded({"result": result}, request)
    except OpsOrchError as error:
        return _encoded({"error": error_frame(error)}, request)
    except (Exception, SystemExit) as exc:  # noqa: BLE001  The loop outlives an adapter's defects.
        log.error("%s failed: %s", request.get("method"), where(exc))
        name = type(exc).__name__
        # The gateway heeds the outcome of writes only; this one may be half done.
        failed = ProviderError(
            f"the plugin failed with {name}; its log says where", outcome_unknown=True
        )
        return _encoded({"error": error_frame(failed)}, request)


def _request(line: bytes) -> dict[str, Any]:
    """Decode a request as strict JSON: no NaN, no half of a surrogate pair, UTF-8 throughout."""
    try:
        request = msgspec.json.decode(line)
    except (ValueError, RecursionError) as exc:
        raise BadRequest("the request is not a JSON object") from exc
    if not isinstance(request, dict):
        raise BadRequest("the request is not a JSON object")
    if not isinstance(request.get("method"), str):
        raise BadRequest("the request has no method")
    return request


def _call_of(context: Any) -> Call:
    context = context if isinstance(context, dict) else {}
    timeout_ms = context.get("timeoutMs")
    known = type(timeout_ms) in (int, float) and timeout_ms > 0
    budget = budget_s(min(timeout_ms, _LONGEST_WAIT_S * 1000)) if known else LONGEST_CALL_S
    actor = context.get("actor")
    if isinstance(actor, dict):
        actor = actor.get("id")
    return Call(
        Deadline.after(budget),
        str(context.get("requestId") or ""),
        str(actor or ""),
        str(context.get("traceparent") or ""),
    )


def error_frame(error: OpsOrchError) -> dict[str, Any]:
    """Write an error as the protocol has it: code, message, and the two extensions where set."""
    message = str(error.message).encode("utf-8", "replace").decode()
    frame: dict[str, Any] = {"code": error.code, "message": message}
    if error.retry_after_s is not None and math.isfinite(error.retry_after_s):
        frame["retryAfter"] = math.ceil(min(max(0.0, error.retry_after_s), _LONGEST_WAIT_S))
    if error.outcome_unknown:
        frame["outcome"] = "unknown"
    return frame


def _encoded(reply: dict[str, Any], request: dict[str, Any]) -> bytes:
    """Encode a reply as strict JSON, with the request's id where it has one, text or number."""
    if type(request.get("id")) in (str, int):
        reply["id"] = request["id"]
    try:
        return _strict(reply)
    except (TypeError, ValueError, UnicodeEncodeError, RecursionError) as exc:
        log.error("the result of %s cannot be encoded: %s", request.get("method"), exc)
        failed = ProviderError(
            "the plugin's result cannot be written as JSON; its log says why", outcome_unknown=True
        )
        reply = {key: value for key, value in reply.items() if key == "id"}
        return _strict({**reply, "error": error_frame(failed)})


_encoder = msgspec.json.Encoder()


def _strict(reply: dict[str, Any]) -> bytes:
    """Encode; msgspec writes NaN and Infinity as null, which loses them silently, so look first."""
    encoded = _encoder.encode(reply)
    if b"null" in encoded and _may_hold_nan(reply) and _has_nan(msgspec.to_builtins(reply)):
        raise ValueError("NaN or Infinity is no JSON number")
    return encoded


# A float of MessagePack (0xcb) whose exponent is all ones. In UTF-8 neither 0x7f nor 0xff follows
# 0xcb, so that no text looks like one.
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")


def _may_hold_nan(reply: dict[str, Any]) -> bool:
    """Tell in C whether a walk in Python is worth while: nulls are common, NaN is not."""
    try:
        return bool(_NOT_FINITE.search(msgspec.msgpack.encode(reply)))
    except OverflowError:
        # An integer above 64 bits, which JSON holds and MessagePack does not.
        return True


def _has_nan(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_nan, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_nan, value))


def where(exc: BaseException) -> str:
    """Write a traceback without locals and without the message, which may hold a secret."""
    frames = traceback.extract_tb(exc.__traceback__)[-6:]
    path = " < ".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in frames[::-1])
    return f"{type(exc).__name__} at {path}"


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _watch(requests: int, replies: int, lines: "queue.SimpleQueue[bytes]") -> None:
    """Hand over the lines of stdin; when the gateway is gone in the middle of a call, leave.

    Reading goes on beside the call, so that the end of stdin is noticed while a handler hangs.
    With the other end of ``replies`` open it is a drain, or a pipe in a shell: the call under way
    is answered, and the process ends by itself. Once that end closes nobody reads the answer.
    """
    _read_lines(requests, lines)
    _wait_until_closed(replies, _LAST_CALL_S)
    os._exit(0)


def _read_lines(requests: int, lines: "queue.SimpleQueue[bytes]") -> None:
    pending: list[bytes] = []
    while chunk := _read(requests):
        *complete, rest = chunk.split(b"\n")
        for part in complete:
            lines.put(b"".join([*pending, part]) + b"\n")
            pending = []
        if rest:
            pending.append(rest)
    if pending:
        lines.put(b"".join(pending))
    lines.put(_END)


def _wait_until_closed(descriptor: int, timeout_s: float) -> None:
    """Wait for the reading end of a pipe to close: poll(2) reports that without being asked."""
    watch = select.poll()
    watch.register(descriptor, 0)
    watch.poll(timeout_s * 1000)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:
        return b""


class _OneLine(logging.Formatter):
    """Keeps a record on one line: the gateway reads line by line."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "\\r").replace("\n", "\\n")


def _log_to_stderr() -> None:
    """Log to stderr, one line a record: the gateway reads it line by line."""
    level = os.environ.get("OPSORCH_LOG_LEVEL", "info").upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(
        level=level if level in logging.getLevelNamesMapping() else "INFO",
        handlers=[handler],
        force=True,
    )
    # urllib3 logs request lines with their query strings.
    logging.getLogger("urllib3").setLevel("WARNING")


def strict_json(value: Any) -> bytes:
    """Encode a result as strict JSON; for a provider that runs inside the gateway.

    Raises:
        ValueError, TypeError: It holds NaN, Infinity, or what JSON has no form for.
    """
    return _strict(value)

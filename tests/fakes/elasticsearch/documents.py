"""Documents, mappings, points in time, and what goes wrong."""

import base64
import datetime
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Test = Callable[["Document"], bool]

MAX_WINDOW = 10_000
TEXT = {"text", "match_only_text"}
NUMBERS = {"long", "double"}
DATES = {"date", "date_nanos"}


@dataclass(eq=False)
class Document:
    index: "Index" = field(repr=False)
    id: str
    source: Json
    number: int
    flat: dict[str, list[Any]] = field(default_factory=dict)
    tokens: dict[str, list[str]] = field(default_factory=dict)

    def words(self, path: str) -> list[str]:
        if path not in self.tokens:
            values = self.flat.get(path, [])
            self.tokens[path] = [word for value in values for word in analysed(value)]
        return self.tokens[path]


@dataclass(eq=False)
class Index:
    """One index. ``keywords``: new text fields are keywords, as templates for ECS map them."""

    name: str
    mapping: dict[str, str] = field(default_factory=dict)
    keywords: bool = False
    documents: list[Document] = field(default_factory=list, repr=False)

    def add(self, source: Json, document_id: str) -> None:
        document = Document(self, document_id, source, next(_NUMBERS))
        for path, value in leaves(source):
            document.flat.setdefault(path, []).append(value)
            if value is not None and path not in self.mapping:
                self.mapping[path] = self._dynamic(value)
                if self.mapping[path] == "text":
                    self.mapping[f"{path}.keyword"] = "keyword"
        self.documents.append(document)

    def _dynamic(self, value: Any) -> str:
        for kind, name in ((bool, "boolean"), (int, "long"), (float, "double")):
            if isinstance(value, kind):
                return name
        if re.fullmatch(r"\d{4}-\d\d-\d\d(T.*)?", value):
            return "date"
        return "keyword" if self.keywords else "text"

    def of(self, name: str) -> tuple[str, str]:
        """Type of a field, "" where it is not mapped, and the path of its values."""
        if name in ("_id", "_index"):
            return "keyword", name
        kind = self.mapping.get(name, "")
        multi = name.removesuffix(".keyword")
        return kind, multi if multi != name and self.mapping.get(multi) in TEXT else name

    def values(self, document: Document, path: str) -> list[Any]:
        meta = {"_id": document.id, "_index": self.name}
        return [meta[path]] if path in meta else document.flat.get(path, [])


_NUMBERS: Iterator[int] = iter(range(10**9))


def leaves(source: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(source, dict):
        for key, value in source.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(source, list):
        for value in source:
            yield from leaves(value, path)
    else:
        yield path, source


def analysed(value: Any) -> list[str]:
    return [word.lower() for word in re.findall(r"\w+(?:[.']\w+)*", str(value))]


@dataclass
class PointInTime:
    indices: list[Index]
    until: float


@dataclass
class State:
    """What the cluster holds, and what it asks of a caller.

    ``users``: Authorization header -> whether it may read; nobody is asked where it is empty.
    ``busy``: searches that are refused with 429 from now on. ``pits``: it has points in time.
    """

    indices: list[Index] = field(default_factory=list)
    opensearch: bool = False
    users: dict[str, bool] = field(default_factory=dict)
    busy: int = 0
    pits: bool = True
    expensive: bool = True
    timed_out: bool = False
    open_pits: dict[str, PointInTime] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def basic_auth(self, user: str, password: str, *, reads: bool = True) -> None:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.users[f"Basic {pair}"] = reads

    def api_key(self, key_id: str, key: str) -> None:
        pair = base64.b64encode(f"{key_id}:{key}".encode()).decode()
        self.users[f"ApiKey {pair}"] = True


class Refused(Exception):
    """An error in Elasticsearch's own form."""

    def __init__(self, status: int, kind: str, reason: str, **more: Any) -> None:
        super().__init__(reason)
        cause = {"type": kind, "reason": reason, **more}
        self.status = status
        self.cause = cause
        self.body = {"error": {"root_cause": [cause], **cause}, "status": status}


class ShardFailed(Exception):
    """One index cannot run the query."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


def unfit(kind: str, reason: str) -> Refused:
    return Refused(400, kind, reason)


def nanos(value: Any) -> int:
    """Nanoseconds since 1970 of a date in the forms that documents have here."""
    if isinstance(value, int):
        return value * 1_000_000
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?)?", value
    )
    if match is None:
        raise ValueError(f"failed to parse date field [{value}]")
    date, clock, fraction, zone = match.groups()
    moment = datetime.datetime.fromisoformat(f"{date}T{clock or '00:00:00'}{zone or 'Z'}")
    return int(moment.timestamp()) * 10**9 + int((fraction or "").ljust(9, "0") or 0)

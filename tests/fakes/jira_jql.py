"""A reader of JQL: tokens, a tree, and what the tree says of an issue.

Written from the public description of the language alone, so that it can judge what others write:
https://support.atlassian.com/jira-software-cloud/docs/use-advanced-search-with-jira-query-language-jql/,
the pages of fields, operators and functions beside it, and, for text,
https://support.atlassian.com/jira-software-cloud/docs/search-for-issues-using-the-text-field/.
It knows the fields below; whatever else is an error, as it is in Jira.
"""

import datetime
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class JqlError(ValueError):
    """The query is refused, in Jira's manner of speaking."""


@dataclass(frozen=True)
class Token:
    """``kind``: word, string, or the operator itself."""

    kind: str
    text: str


_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\", "'": "'", '"': '"', " ": " "}
_OPERATORS = ("!=", "!~", ">=", "<=", "=", "~", ">", "<", "(", ")", ",", "[", "]")
_RESERVED = frozenset("{}*/%+^$#@?;|&!\"'()[],=<>~\\")


def tokens_of(jql: str) -> list[Token]:
    """Split a query; strings come without their quotes and with escapes undone."""
    found: list[Token] = []
    at = 0
    while at < len(jql):
        if jql[at].isspace():
            at += 1
        elif jql[at] in "\"'":
            text, at = _string(jql, at)
            found.append(Token("string", text))
        elif operator := next((o for o in _OPERATORS if jql.startswith(o, at)), ""):
            found.append(Token(operator, operator))
            at += len(operator)
        else:
            text, at = _word(jql, at)
            found.append(Token("word", text))
    return found


def _string(jql: str, start: int) -> tuple[str, int]:
    quote, at, out = jql[start], start + 1, []
    while at < len(jql):
        if jql[at] == quote:
            return "".join(out), at + 1
        if jql[at] in "\r\n":
            raise JqlError("a line break inside a string")
        if jql[at] == "\\":
            character, at = _escape(jql, at)
            out.append(character)
        else:
            out.append(jql[at])
            at += 1
    raise JqlError("The quoted string has not been completed.")


def _escape(jql: str, at: int) -> tuple[str, int]:
    following = jql[at + 1 : at + 2]
    if following == "u" and re.fullmatch("[0-9a-fA-F]{4}", jql[at + 2 : at + 6]):
        return chr(int(jql[at + 2 : at + 6], 16)), at + 6
    if following not in _ESCAPES:
        raise JqlError(f"'\\{following}' is an illegal JQL escape sequence.")
    return _ESCAPES[following], at + 2


def _word(jql: str, start: int) -> tuple[str, int]:
    at, out = start, []
    while at < len(jql) and not jql[at].isspace():
        if jql[at] == "\\":
            character, at = _escape(jql, at)
            out.append(character)
            continue
        if jql[at] in _RESERVED:
            break
        out.append(jql[at])
        at += 1
    if at == start:
        raise JqlError(f"The character '{jql[at]}' is a reserved JQL character.")
    return "".join(out), at


# --- the tree ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clause:
    """One comparison. ``values`` are texts; a function is ``name()``."""

    field: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """AND, OR or NOT over parts."""

    operator: str
    parts: tuple["Clause | Group", ...]


@dataclass(frozen=True)
class Query:
    where: Clause | Group
    order: tuple[tuple[str, str], ...] = ()


def parse(jql: str) -> Query:
    """Read a query.

    Raises:
        JqlError: It is none.
    """
    reader = _Reader(tokens_of(jql))
    where = reader.any_of()
    order = reader.order()
    if reader.at < len(reader.tokens):
        raise JqlError(f"Expecting the end of the query but got '{reader.tokens[reader.at].text}'.")
    return Query(where, order)


@dataclass
class _Reader:
    tokens: list[Token]
    at: int = field(default=0)

    def take(self, *words: str) -> bool:
        if self.peek(*words):
            self.at += 1
            return True
        return False

    def peek(self, *words: str) -> bool:
        if self.at >= len(self.tokens):
            return False
        token = self.tokens[self.at]
        return token.kind != "string" and token.text.lower() in words

    def next(self, kinds: Iterable[str] = ("word", "string")) -> Token:
        if self.at >= len(self.tokens):
            raise JqlError("Expecting more before the end of the query.")
        token = self.tokens[self.at]
        if token.kind not in kinds:
            raise JqlError(f"Expecting a value but got '{token.text}'.")
        self.at += 1
        return token

    def any_of(self) -> Clause | Group:
        return self._chain("or", self.all_of)

    def all_of(self) -> Clause | Group:
        return self._chain("and", self.one)

    def _chain(self, word: str, part: Callable[[], Clause | Group]) -> Clause | Group:
        parts = [part()]
        while self.take(word):
            parts.append(part())
        return Group(word, tuple(parts)) if len(parts) > 1 else parts[0]

    def one(self) -> Clause | Group:
        if self.take("not"):
            return Group("not", (self.one(),))
        if self.take("("):
            inner = self.any_of()
            if not self.take(")"):
                raise JqlError("Expecting ')'.")
            return inner
        return self._clause()

    def _clause(self) -> Clause:
        name = self.next().text.lower()
        if name == "cf" and self.take("["):
            name = f"cf[{self.next(('word',)).text}]"
            if not self.take("]"):
                raise JqlError("Expecting ']'.")
        if self.take("is"):
            operator = "is not" if self.take("not") else "is"
            if not self.take("empty", "null"):
                raise JqlError("IS takes EMPTY only.")
            return Clause(name, operator, ())
        if self.take("in"):
            return Clause(name, "in", self._list())
        if self.peek("not") and self.tokens[self.at + 1 : self.at + 2] != []:
            self.take("not")
            if self.take("in"):
                return Clause(name, "not in", self._list())
            raise JqlError("Expecting IN after NOT.")
        operator = self.next(("=", "!=", "~", "!~", ">", ">=", "<", "<=")).kind
        return Clause(name, operator, (self._value(),))

    def _list(self) -> tuple[str, ...]:
        if not self.take("("):
            raise JqlError("Expecting '('.")
        values = [self._value()]
        while self.take(","):
            values.append(self._value())
        if not self.take(")"):
            raise JqlError("Expecting ')' or ','.")
        return tuple(values)

    def _value(self) -> str:
        token = self.next()
        if token.kind == "word" and self.take("("):
            if not self.take(")"):
                raise JqlError("this reader knows functions without arguments only")
            return f"{token.text}()"
        return token.text

    def order(self) -> tuple[tuple[str, str], ...]:
        if not self.take("order"):
            return ()
        if not self.take("by"):
            raise JqlError("Expecting BY.")
        fields = []
        while True:
            name = self.next(("word",)).text.lower()
            direction = "desc" if self.take("desc") else "asc"
            self.take("asc")
            fields.append((name, direction))
            if not self.take(","):
                return tuple(fields)


# --- what it says of an issue --------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """What values there are, and who asks."""

    me: str
    projects: frozenset[str]
    statuses: frozenset[str]
    components: frozenset[str]
    issue_types: frozenset[str]
    priorities: frozenset[str]
    accounts: frozenset[str]
    now: datetime.datetime


def fits(node: Clause | Group, issue: Json, world: World) -> bool:
    """Tell whether an issue fits.

    Raises:
        JqlError: A field or value does not exist, or an operator does not go with a field.
    """
    if isinstance(node, Clause):
        return _clause_fits(node, issue, world)
    # Every part is looked at: an error in one is an error of the query.
    found = [fits(part, issue, world) for part in node.parts]
    return {"and": all, "or": any, "not": lambda parts: not parts[0]}[node.operator](found)


def _name(value: Any) -> list[str]:
    return [value["name"]] if value else []


def _account(value: Any) -> list[str]:
    return [value["accountId"]] if value else []


_READ: dict[str, Callable[[Json], list[str]]] = {
    "project": lambda f: [f["project"]["key"]],
    "status": lambda f: _name(f["status"]),
    "statuscategory": lambda f: _name(f["status"]["statusCategory"]),
    "assignee": lambda f: _account(f.get("assignee")),
    "reporter": lambda f: _account(f.get("reporter")),
    "labels": lambda f: list(f.get("labels") or []),
    "component": lambda f: [c["name"] for c in f.get("components") or []],
    "issuetype": lambda f: _name(f.get("issuetype")),
    "priority": lambda f: _name(f.get("priority")),
    "summary": lambda f: [f["summary"]],
}
_KNOWN: dict[str, Callable[[World], frozenset[str]]] = {
    "project": lambda world: world.projects,
    "status": lambda world: world.statuses,
    "component": lambda world: world.components,
    "issuetype": lambda world: world.issue_types,
    "priority": lambda world: world.priorities,
    "assignee": lambda world: world.accounts,
    "reporter": lambda world: world.accounts,
    "statuscategory": lambda world: frozenset({"To Do", "In Progress", "Done"}),
}


def _clause_fits(clause: Clause, issue: Json, world: World) -> bool:
    fields = issue["fields"]
    if clause.field in ("text", "summary") and clause.operator == "~":
        return _text_fits(clause.values[0], _texts(fields))
    if clause.field in ("updated", "created"):
        return _time_fits(clause, fields, world)
    read = _reader_of(clause.field)
    present = [value.lower() for value in read(fields)]
    if clause.operator in ("is", "is not"):
        return (not present) is (clause.operator == "is")
    wanted = {_known_value(clause.field, value, world).lower() for value in clause.values}
    if clause.operator in ("=", "in"):
        return bool(wanted & set(present))
    if clause.operator in ("!=", "not in"):
        return bool(present) and not wanted & set(present)
    raise JqlError(
        f"The operator '{clause.operator}' is not supported by the '{clause.field}' field."
    )


def _reader_of(name: str) -> Callable[[Json], list[str]]:
    if match := re.fullmatch(r"cf\[([0-9]+)\]", name):
        field_id = f"customfield_{match.group(1)}"
        return lambda fields: [str(fields[field_id])] if fields.get(field_id) else []
    if name not in _READ:
        raise JqlError(f"Field '{name}' does not exist or you do not have permission to view it.")
    return _READ[name]


def _known_value(name: str, value: str, world: World) -> str:
    if value == "currentUser()":
        return world.me
    known = _KNOWN.get(name)
    if known and value.lower() not in {each.lower() for each in known(world)}:
        raise JqlError(f"The value '{value}' does not exist for the field '{name}'.")
    return value


def _time_fits(clause: Clause, fields: Json, world: World) -> bool:
    match = re.fullmatch(r"-(\d+)([mhdw])", clause.values[0])
    if clause.operator != ">=" or not match:
        raise JqlError(f"Date value '{clause.values[0]}' for field '{clause.field}' is invalid.")
    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    since = world.now - datetime.timedelta(**{units[match.group(2)]: int(match.group(1))})
    return datetime.datetime.strptime(fields[clause.field], "%Y-%m-%dT%H:%M:%S.%f%z") >= since


# --- text ----------------------------------------------------------------------------------------


def _texts(fields: Json) -> str:
    return f"{fields['summary']} {_adf_text(fields.get('description'))}".lower()


def _adf_text(node: Any) -> str:
    if not isinstance(node, dict):
        return ""
    inner = " ".join(_adf_text(child) for child in node.get("content", []))
    return f"{node.get('text', '')} {inner}"


def terms_of(text: str) -> list[str]:
    """Read a text search: plain words only, or what is not.

    Raises:
        JqlError: An operator or wildcard is in it that is not escaped.
    """
    out, at = [], 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            out.append(text[at + 1])
            at += 2
        elif text[at] in '+-&|!(){}[]^~*?\\/:"':
            raise JqlError(f"Unable to parse the text '{text}' for field 'text'.")
        else:
            out.append(text[at])
            at += 1
    if any(word in ("AND", "OR", "NOT") for word in "".join(out).split()):
        raise JqlError(f"Unable to parse the text '{text}' for field 'text'.")
    return re.findall(r"\w+", "".join(out).lower())


def _text_fits(text: str, haystack: str) -> bool:
    return all(term in haystack for term in terms_of(text))

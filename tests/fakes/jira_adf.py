"""Which Atlassian Document Format documents Jira takes: the rules of the schema, as a table.

Sources: https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/ and its pages
of nodes and marks; http://go.atlassian.com/adf-json-schema. Jira names no reason: INVALID_INPUT.
"""

from collections.abc import Iterator
from typing import Any

_IN_ITEM = ("paragraph", "bulletList", "orderedList", "codeBlock", "mediaSingle")
_TOP = (
    *("paragraph", "heading", "bulletList", "orderedList", "codeBlock", "blockquote", "rule"),
    *("panel", "table", "expand", "mediaSingle", "mediaGroup", "taskList", "decisionList"),
)
_INLINE = ("text", "hardBreak", "mention", "emoji", "date", "status", "inlineCard", "mediaInline")

# What may stand inside, whether there must be something, and which attributes there may be.
_SCHEMA: dict[str, tuple[tuple[str, ...], bool, tuple[str, ...]]] = {
    "doc": (_TOP, False, ()),
    "paragraph": (_INLINE, False, ("localId",)),
    "heading": (_INLINE, False, ("level", "localId")),
    "bulletList": (("listItem",), True, ()),
    "orderedList": (("listItem",), True, ("order",)),
    "listItem": (_IN_ITEM, True, ()),
    "codeBlock": (("text",), False, ("language",)),
    "blockquote": (("paragraph", "bulletList", "orderedList", "codeBlock"), True, ()),
    "rule": ((), False, ()),
    "text": ((), False, ()),
    "hardBreak": ((), False, ("text",)),
    "mention": ((), False, ("id", "text", "accessLevel", "userType")),
    "emoji": ((), False, ("shortName", "id", "text")),
}
_MARKS = ("link", "strong", "em", "strike", "code", "underline", "textColor", "subsup")


def faults_of(document: Any) -> list[str]:
    """Say why Jira would refuse a document; [] where it takes it."""
    if not isinstance(document, dict):
        return ["an Atlassian Document is needed"]
    if (document.get("type"), document.get("version")) != ("doc", 1):
        return ["the root is no doc of version 1"]
    if set(document) != {"type", "version", "content"}:
        return ["the root needs type, version and content"]
    return list(_faults({key: document[key] for key in ("type", "content")}))


def _faults(node: dict[str, Any]) -> Iterator[str]:
    kind = node.get("type")
    if kind not in _SCHEMA:
        yield f"unknown node {kind}"
        return
    allowed, needed, attributes = _SCHEMA[kind]
    content = node.get("content", [])
    if set(node) - {"type", "content", "attrs", "text", "marks"}:
        yield f"{kind} has unknown keys"
    if set(node.get("attrs", {})) - set(attributes):
        yield f"{kind} has unknown attributes"
    if needed and not content:
        yield f"{kind} is empty"
    if kind == "heading" and node["attrs"]["level"] not in range(1, 7):
        yield "a heading has a level of 1 to 6"
    if kind == "listItem" and content and content[0]["type"] not in ("paragraph", "codeBlock"):
        yield "a listItem begins with a paragraph"
    if kind != "text" and (set(node) & {"text", "marks"}):
        yield f"{kind} has text or marks"
    for child in content:
        if child.get("type") not in allowed:
            yield f"{child.get('type')} inside {kind}"
        if child.get("type") == "text":
            yield from _text_faults(child, in_code=kind == "codeBlock")
        else:
            yield from _faults(child)


def _text_faults(node: dict[str, Any], *, in_code: bool) -> Iterator[str]:
    text = node.get("text")
    if not isinstance(text, str) or not text:
        yield "a text node is empty"
        return
    if not in_code and ("\n" in text or "\r" in text):
        yield "a text node holds a line break"
    marks = [mark.get("type") for mark in node.get("marks", [])]
    if "marks" in node and (not marks or in_code):
        yield "marks are empty or in a codeBlock"
    if len(set(marks)) != len(marks) or set(marks) - set(_MARKS):
        yield "a mark is unknown or repeated"
    if "code" in marks and set(marks) - {"code", "link"}:
        yield "code goes with link only"
    for mark in node.get("marks", []):
        if mark.get("type") == "link" and not mark.get("attrs", {}).get("href"):
            yield "a link has no href"

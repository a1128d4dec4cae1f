"""The Markdown parser of this adapter: CommonMark with tables and strike-through, made for alerts.

Where CommonMark would swallow text, this parser keeps it: raw HTML is text, and there are no
reference definitions, since ``[ERROR]: timeout`` would be one and vanish.
"""

import functools
import re
from collections.abc import Callable
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, blockquote, list_block
from markdown_it.rules_inline import StateInline

# A line of many ">" is a line of an alert, not a quote. The library's own bound drops the text
# of what is nested deeper; this one is far below it and leaves the text as a paragraph.
MAX_DEPTH: Final = 12
_LIBRARY_BOUND: Final = 40

# What Slack takes for a reference in angle brackets.
# Source: docs.slack.dev/messaging/formatting-message-text, "Mentioning users, user groups, ...".
_MENTION = re.compile(
    r"<(?:@[UW][A-Z0-9]+|#[CGD][A-Z0-9]+|!subteam\^S[A-Z0-9]+)(?:\|[^<>|\n]*)?>", re.ASCII
)
_BROADCAST = re.compile(r"<!(?:here|channel|everyone)(?:\|[^<>|\n]*)?>", re.ASCII)
# What of a bare URL holds no mark-up, whatever it looks like.
_REST_OF_URL = re.compile(r"://[^\s<>\[\]*\\&`|~]+")
_PUNCTUATION: Final = "?!.,:;_'\"()"

_BlockRule = Callable[[StateBlock, int, int, bool], bool]
# The rules that these two may interrupt, as the library registers them.
_ALT: Final = ["paragraph", "reference", "blockquote"]


class _Parser(MarkdownIt):
    """Takes links of every scheme for links; the renderer decides what becomes of them."""

    def validateLink(self, url: str) -> bool:  # noqa: N802  The name is the library's.
        return True


@functools.cache
def parser() -> MarkdownIt:
    """Return the parser. Its rules are compiled, so that threads may share it."""
    made = _Parser("commonmark", {"html": False, "maxNesting": _LIBRARY_BOUND})
    made.enable(["table", "strikethrough"])
    made.disable("reference")
    made.block.ruler.at("blockquote", _shallow(blockquote), {"alt": [*_ALT, "list"]})
    made.block.ruler.at("list", _shallow(list_block), {"alt": _ALT})
    made.inline.ruler.before("autolink", "slack_reference", _slack_reference)
    made.inline.ruler.after("text", "bare_url", _bare_url)
    made.parse("*x*")
    return made


def _shallow(rule: _BlockRule) -> _BlockRule:
    """Let a rule that nests apply down to MAX_DEPTH only."""

    def guarded(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        return state.level < MAX_DEPTH and rule(state, start, end, silent)

    return guarded


def _slack_reference(state: StateInline, silent: bool) -> bool:
    """Make one token of a mention of a person, channel or group, or of a broadcast."""
    for kind, pattern in (("slack_mention", _MENTION), ("slack_broadcast", _BROADCAST)):
        match = pattern.match(state.src, state.pos, state.posMax)
        if match:
            if not silent:
                state.push(kind, "", 0).content = match.group()
            state.pos = match.end()
            return True
    return False


def _bare_url(state: StateInline, silent: bool) -> bool:
    """Take the rest of a bare URL for text: an underscore in it is no emphasis."""
    scheme = state.src[max(0, state.pos - 5) : state.pos].lower()
    match = _REST_OF_URL.match(state.src, state.pos, state.posMax)
    if match is None or not scheme.endswith(("http", "https")):
        return False
    rest = match.group().rstrip(_PUNCTUATION)
    if not rest:
        return False
    if not silent:
        state.push("text", "", 0).content = rest
    state.pos += len(rest)
    return True

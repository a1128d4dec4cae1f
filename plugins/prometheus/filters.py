"""What an alert query asks for, as Alertmanager's parameters and as checks made here.

Source: Alertmanager's OpenAPI description of ``GET /api/v2/alerts``, and prometheus.io,
"Alerting/Configuration", matchers; its behaviour was checked with Alertmanager 0.25.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import Json, object_of, scope_of, strings_of, text_of, words_of
from opsorch.plugin.vendor import object_in
from opsorch_plugins.prometheus.promql import CLASSIC_LABEL, Matcher, re2_literal, utf8
from opsorch_plugins.prometheus.settings import Settings, label_names

Parameters = list[tuple[str, str]]
StatusCheck = Callable[[Mapping[str, Any]], bool]

FLAGS: Final = ("active", "silenced", "inhibited", "unprocessed")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one status word asks for.

    Attributes:
        flags: Parameters that have Alertmanager list such alerts; none: it has no such alerts.
        fits: Decides by an alert's ``status`` object; the parameters alone list too much.
    """

    flags: frozenset[str]
    fits: StatusCheck


def _in_state(state: str) -> StatusCheck:
    return lambda status: status.get("state") == state


_MUTED = frozenset({"silenced", "inhibited"})
_FIRING = Wanted(frozenset({"active"}), _in_state("active"))
_SUPPRESSED = Wanted(_MUTED, _in_state("suppressed"))
_SILENCED = Wanted(_MUTED, lambda status: bool(status.get("silencedBy")))
_INHIBITED = Wanted(_MUTED, lambda status: bool(status.get("inhibitedBy")))
PENDING: Final = Wanted(frozenset({"unprocessed"}), _in_state("unprocessed"))
# Alertmanager forgets an alert once it is resolved, and knows no acknowledging.
_NEVER = Wanted(frozenset(), lambda status: False)

STATUSES: Final[Mapping[str, Wanted]] = {
    **dict.fromkeys(("firing", "open", "active", "triggered", "alerting"), _FIRING),
    **dict.fromkeys(("suppressed", "muted"), _SUPPRESSED),
    "silenced": _SILENCED,
    "inhibited": _INHIBITED,
    **dict.fromkeys(("pending", "unprocessed"), PENDING),
    **dict.fromkeys(("resolved", "closed", "ok", "acknowledged", "snoozed"), _NEVER),
}


@dataclass(frozen=True, slots=True)
class Severities:
    """How a label's value becomes a severity and back, whatever its letter case."""

    label: str
    shown_as: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings) -> "Severities":
        """Read severityLabel and severityMap."""
        shown_as = {value.casefold(): name for value, name in settings["severityMap"].items()}
        return cls(settings["severityLabel"], shown_as)

    def of_labels(self, labels: Mapping[str, str]) -> str:
        """Return the severity of an alert with these labels, "" where it has none."""
        value = str(labels.get(self.label, ""))
        return self.shown_as.get(value.casefold(), value)

    def values_for(self, words: Sequence[str]) -> list[str]:
        """Return the words and the label values that are shown as one of them, each once."""
        asked = {word.casefold() for word in words}
        mapped = [value for value, shown in self.shown_as.items() if shown.casefold() in asked]
        return [*dict.fromkeys(words), *(value for value in mapped if value not in asked)]


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """A parsed alert query.

    Attributes:
        statuses: What the status words ask for; empty: every status.
        matchers: All that must hold of the labels: severities, scope, ``metadata.matchers``.
        receiver: Anchored regex of a receiver's name, or "".
        query: Text to be found, case folded, or "".
        severities: How a severity is found in labels.
        severity_words: The severities asked for, case folded; empty: every severity.
    """

    statuses: tuple[Wanted, ...]
    matchers: tuple[Matcher, ...]
    receiver: str
    query: str
    severities: Severities
    severity_words: frozenset[str]

    @property
    def matches_nothing(self) -> bool:
        """Tell whether Alertmanager can have no such alert."""
        return bool(self.statuses) and not any(wanted.flags for wanted in self.statuses)

    @property
    def wants_pending(self) -> bool:
        """Tell whether pending alerts are asked for by name."""
        return PENDING in self.statuses

    def parameters(self, *, flags: Iterable[str] = FLAGS) -> Parameters:
        """Write Alertmanager's query parameters.

        A flag left out counts as true, and a misspelt boolean as false, so each is written out.

        Args:
            flags: Those that the endpoint knows.
        """
        asked = frozenset[str]().union(*(wanted.flags for wanted in self.statuses))
        booleans = [(flag, str(flag in asked).lower()) for flag in flags if self.statuses]
        filters = [("filter", filter_text(m.label, m.operator, m.value)) for m in self.matchers]
        return [*booleans, *filters, *([("receiver", self.receiver)] if self.receiver else [])]

    def fits(self, alert: Mapping[str, Any]) -> bool:
        """Tell whether an alert of Alertmanager is meant, as far as its parameters cannot say."""
        status = object_in(alert, "status")
        if self.statuses and not any(wanted.fits(status) for wanted in self.statuses):
            return False
        return self.finds(alert)

    def finds(self, alert: Mapping[str, Any]) -> bool:
        """Tell whether the alert has a severity asked for and holds the text of the query.

        A value that severityMap shows as something else passes Alertmanager's filter all the same.
        """
        severity = self.severities.of_labels(alert.get("labels") or {}).casefold()
        if self.severity_words and severity not in self.severity_words:
            return False
        return not self.query or self.query in "\n".join(_texts(alert)).casefold()


def _texts(alert: Mapping[str, Any]) -> Iterable[str]:
    """List what a query looks through: label values, among them the name, and two annotations."""
    annotations = object_in(alert, "annotations")
    yield from (str(annotations.get(name, "")) for name in ("summary", "description"))
    yield from map(str, object_in(alert, "labels").values())


def filter_of(payload: Json, settings: Settings, severities: Severities) -> AlertFilter:
    """Read an alert query.

    Raises:
        BadRequest: A word or matcher is not understood; names the field.
    """
    metadata = object_of(payload, "metadata")
    receiver = utf8(text_of(metadata, "receiver", where="metadata."), "metadata.receiver")
    words = [utf8(word, "severities").strip() for word in strings_of(payload, "severities")]
    words = [word for word in words if word]
    return AlertFilter(
        statuses=tuple(words_of(STATUSES, strings_of(payload, "statuses"), "statuses")),
        matchers=(
            *_severity_matcher(words, severities),
            *_scope_matchers(payload, settings),
            *_given_matchers(metadata),
        ),
        receiver=receiver.strip(),
        query=text_of(payload, "query").strip().casefold(),
        severities=severities,
        severity_words=frozenset(word.casefold() for word in words),
    )


def _severity_matcher(words: list[str], severities: Severities) -> list[Matcher]:
    """Make one filter of all severities: several filters must hold at once."""
    if not words:
        return []
    alternatives = "|".join(map(re2_literal, severities.values_for(words)))
    return [Matcher(severities.label, "=~", f"(?i:{alternatives})")]


def _scope_matchers(payload: Json, settings: Settings) -> list[Matcher]:
    labels = label_names(settings)
    return [
        Matcher(labels[part], "=", utf8(value, f"scope.{part}"))
        for part, value in scope_of(payload).items()
    ]


def _given_matchers(metadata: Json) -> list[Matcher]:
    given = metadata.get("matchers")
    if isinstance(given, str):
        return [parsed_matcher(given, "metadata.matchers")]
    texts = strings_of(metadata, "matchers", where="metadata.")
    return [parsed_matcher(text, f"metadata.matchers[{i}]") for i, text in enumerate(texts)]


_MATCHER = re.compile(rf"\s*({CLASSIC_LABEL.pattern})\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MEANINGS: Final = {"\\": "\\", '"': '"', "n": "\n"}
# Without quotes these could be the start of something else: a second matcher, a set of them.
_NEEDS_QUOTES = re.compile(r'["{},]')


def parsed_matcher(text: str, field: str) -> Matcher:
    """Parse a matcher as people write it: ``name="value"``, or ``name=value`` without quotes.

    Raises:
        BadRequest: It is none, or more than one.
    """
    match = _MATCHER.fullmatch(utf8(text, field))
    value = _matcher_value(match.group(3)) if match else None
    if match is None or value is None:
        raise BadRequest(
            f'{field} is no matcher; write one as name="value", with one of the operators'
            ' = != =~ !~ and the escapes \\\\ \\" \\n'
        )
    return Matcher(match.group(1), match.group(2), value)


def _matcher_value(text: str) -> str | None:
    match = _QUOTED.fullmatch(text)
    if match is None:
        return None if _NEEDS_QUOTES.search(text) else text
    if any(escaped not in _MEANINGS for escaped in _ESCAPED.findall(match.group(1))):
        return None
    return _ESCAPED.sub(lambda found: _MEANINGS[found.group(1)], match.group(1))


_FILTER_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def filter_text(label: str, operator: str, value: str) -> str:
    """Write a matcher as Alertmanager takes it in ``filter``."""
    return f'{label}{operator}"{value.translate(_FILTER_ESCAPES)}"'

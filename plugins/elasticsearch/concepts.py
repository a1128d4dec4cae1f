"""What the gateway calls message, severity, service, environment and team, in a log document.

Sources: the Elastic Common Schema (elastic.co/guide/en/ecs/current/ecs-field-reference.html) and
OpenTelemetry's log data model (opentelemetry.io/docs/specs/otel/logs/data-model), then the flat
names that loggers write.
"""

import functools
from collections.abc import Mapping
from typing import Any, Final

from opsorch.plugin.severity import classes_of, with_own

Candidates = Mapping[str, tuple[str, ...]]

# First wins when a document is read; a filter looks at all of them.
CANDIDATES: Final[Candidates] = {
    "message": ("message", "msg", "log", "body.text", "body", "event.original"),
    "severity": ("log.level", "severity", "level", "severity_text", "loglevel", "log.severity"),
    "service": (
        "service.name",
        "service",
        "resource.attributes.service.name",
        "kubernetes.labels.app_kubernetes_io/name",
        "app",
    ),
    "environment": (
        "service.environment",
        "environment",
        "env",
        "deployment.environment",
        "resource.attributes.deployment.environment",
    ),
    "team": ("team", "labels.team", "service.team", "kubernetes.labels.team"),
}

# Names under which a filter may mean a concept.
CONCEPT_OF_NAME: Final[Mapping[str, str]] = {
    **{name: name for name in CANDIDATES},
    "env": "environment",
}

# The class, and the spellings sent and understood. Documents hold what loggers write.
SPELLINGS: Final = with_own({"error": ("severe",), "debug": ("dbg",), "trace": ("finest",)})
_CLASS_OF_SPELLING: Final = classes_of(SPELLINGS)
# Source: RFC 5424, 6.2.1, numerical codes of severities.
_CLASS_OF_NUMBER: Final = ("critical",) * 3 + ("error", "warning", "info", "info", "debug")


def candidates_of(field_map: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """Return the fields of each concept: the configured ones, else the defaults."""
    configured = {name: tuple(fields) for name, fields in field_map.items()}
    return {**CANDIDATES, **configured}


@functools.lru_cache(maxsize=1024)
def severity_class(raw: str) -> str:
    """Name the class of a severity as a document has it; unknown words pass in lower case."""
    word = raw.strip().lower()
    if word.isascii() and word.isdigit() and int(word[:9]) < len(_CLASS_OF_NUMBER):
        return _CLASS_OF_NUMBER[int(word[:9])]
    return _CLASS_OF_SPELLING.get(word, word)


def severity_words(asked: list[str]) -> list[Any]:
    """Return every spelling that documents may have for the asked severities, each once."""
    words: dict[str, None] = {}
    for word in asked:
        name = word.strip()
        spellings = SPELLINGS.get(_CLASS_OF_SPELLING.get(name.lower(), ""), (name,))
        for spelling in spellings:
            forms = (spelling, spelling.lower(), spelling.upper(), spelling.capitalize())
            words.update(dict.fromkeys(forms))
    return list(words)

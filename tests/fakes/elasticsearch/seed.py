"""Documents to ask for, the same at every call."""

import datetime
import random

from tests.fakes.elasticsearch.documents import Index, Json, State

NEWEST = datetime.datetime(2024, 5, 6, 7, 0, 0, tzinfo=datetime.UTC)
SERVICES = ("api", "checkout", "auth-api", "billing")
ENVIRONMENTS = ("prod", "stage")
TEAMS = ("payments", "platform")
WORDS = (
    "request served in time",
    "connection timeout to database",
    "payment refused by the bank",
    "cache miss 50% of lookups",
    "user logged in",
    "disk almost full on volume",
)
_LEVELS = ("ERROR", "error", "Warn", "WARNING", "info", "NOTICE", "debug", "fatal", "TRACE")


def seeded(count: int = 3000, newest: datetime.datetime = NEWEST) -> State:
    """A cluster with ``count`` entries, one a second back from ``newest``, in three forms.

    A fourth index holds entries that no pattern ``logs-*`` finds.
    """
    ecs = Index(
        "logs-app-prod", {"@timestamp": "date", "message": "match_only_text"}, keywords=True
    )
    flat = Index("logs-flat-2024.05", {"@timestamp": "date"})
    otel = Index("logs-otel-default", {"@timestamp": "date", "body.text": "match_only_text"}, True)
    secret = Index("secret-audit", {"@timestamp": "date"}, keywords=True)
    chance = random.Random(20240506)
    for number in range(count):
        moment = newest - datetime.timedelta(seconds=number)
        form = (_ecs, _flat, _otel)[number % 3]
        (ecs, flat, otel)[number % 3].add(form(number, moment, chance), f"d{number:05}")
    for number in range(20):
        moment = newest - datetime.timedelta(seconds=number)
        secret.add(_ecs(number, moment, chance), f"s{number:05}")
    return State([ecs, flat, otel, secret])


def _facts(chance: random.Random) -> tuple[str, str, str, str, str]:
    choose = chance.choice
    return (
        choose(SERVICES),
        choose(ENVIRONMENTS),
        choose(TEAMS),
        choose(_LEVELS),
        choose(WORDS),
    )


def _ecs(number: int, moment: datetime.datetime, chance: random.Random) -> Json:
    service, environment, team, level, words = _facts(chance)
    return {
        "@timestamp": moment.isoformat().replace("+00:00", "Z"),
        "message": f"{words} #{number}",
        "log": {"level": level, "logger": f"{service}.main"},
        "service": {"name": service, "environment": environment, "version": "1.2"},
        "labels": {"team": team, "canary": number % 7 == 0},
        "host": {"name": f"host-{number % 5}"},
        "http": {"response": {"status_code": 200 + number % 400}},
        "tags": ["a", "b"],
        "trace": {"id": None},
    }


def _flat(number: int, moment: datetime.datetime, chance: random.Random) -> Json:
    service, environment, team, level, words = _facts(chance)
    return {
        "@timestamp": f"{moment.isoformat().replace('+00:00', '')}.123456Z",
        "msg": f"{words} #{number}",
        "severity": level,
        "service": service,
        "environment": environment,
        "team": team,
        "path": f"/v1/items/{number}",
        "duration": number / 4,
    }


def _otel(number: int, moment: datetime.datetime, chance: random.Random) -> Json:
    service, environment, team, level, words = _facts(chance)
    attributes = {"service.name": service, "deployment.environment": environment}
    return {
        "@timestamp": f"{moment.isoformat().replace('+00:00', '')}.123456789Z",
        "body": {"text": f"{words} #{number}"},
        "severity_text": level,
        "resource": {"attributes": attributes},
        "labels": {"team": team},
    }

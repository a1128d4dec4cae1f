"""The words for severities and statuses, out of the tables of the adapters; for severities.md."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args, get_type_hints

from opsorch.plugin.severity import SEVERITIES as LOG_SEVERITIES
from opsorch_plugins.datadog import alert_filter as datadog_filter
from opsorch_plugins.datadog import alert_mapping as datadog_alerts
from opsorch_plugins.datadog import incident_words as datadog_incidents
from opsorch_plugins.datadog import log_words as datadog_logs
from opsorch_plugins.datadog import words as datadog
from opsorch_plugins.demo import alerts as demo_alerts
from opsorch_plugins.demo import deployments as demo_deployments
from opsorch_plugins.demo import incidents as demo_incidents
from opsorch_plugins.demo import logsearch as demo_logs
from opsorch_plugins.demo import tickets as demo_tickets
from opsorch_plugins.demo.catalogue import ALERTS, DEPLOYMENTS
from opsorch_plugins.demo.records import Alert
from opsorch_plugins.demo.world import World
from opsorch_plugins.elasticsearch import concepts as elasticsearch_logs
from opsorch_plugins.github import deployment_filter as github_filter
from opsorch_plugins.github import deployment_mapping as github_runs
from opsorch_plugins.github import words as github_words
from opsorch_plugins.jira import query as jira_query
from opsorch_plugins.jira import transitions as jira_transitions
from opsorch_plugins.pagerduty import mapping as pagerduty
from opsorch_plugins.prometheus import alert_mapping as alertmanager
from opsorch_plugins.prometheus import filters as alertmanager_filters

# Of each adapter: from a word to what it becomes.
Words = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Vocabulary:
    """The words of one field, side by side.

    Attributes:
        shown: Of each adapter, the vendor's word -> ours.
        taken: Of each adapter, a word that callers may use -> the vendor's.
    """

    title: str
    text: str
    shown: Words
    taken: Words


def vocabularies() -> tuple[Vocabulary, ...]:
    return (
        log_severities(),
        incident_severities(),
        incident_statuses(),
        alert_severities(),
        alert_statuses(),
        ticket_statuses(),
        deployment_statuses(),
    )


def themselves(words: Iterable[str]) -> dict[str, str]:
    return {word: word for word in words}


def log_severities() -> Vocabulary:
    spellings = elasticsearch_logs.SPELLINGS
    spelled = [word for words in spellings.values() for word in words]
    # Source: RFC 5424, 6.2.1: the numerical codes are 0 to 7.
    numbers = [str(code) for code in range(8)]
    read = {word: elasticsearch_logs.severity_class(word) for word in (*spelled, *numbers)}
    words = [*LOG_SEVERITIES, *(word for word in spelled if word not in LOG_SEVERITIES)]
    statuses = [status for found in datadog_logs.STATUSES.values() for status in found]
    demo = {word: demo_logs.severity_word(word) for word in words}
    return Vocabulary(
        "Logs: severity",
        "One vocabulary over all sources, so that one filter serves all. A word in none of the "
        "tables is shown in lower case, and as a filter finds what is called exactly so.",
        {
            "elasticsearch": ordered(read),
            "datadog": ordered({status: datadog_logs.severity_of(status) for status in statuses}),
            "demo": themselves(demo_logs.SEVERITIES),
        },
        {
            "elasticsearch": {
                word: ", ".join(spellings[elasticsearch_logs.severity_class(word)])
                for word in words
            },
            "datadog": {
                word: ", ".join(found)
                for word in words
                if (found := datadog_logs.statuses_for([word])[0])
            },
            "demo": {word: our for word, our in demo.items() if our in demo_logs.SEVERITIES},
        },
    )


def ordered(read: Mapping[str, str]) -> dict[str, str]:
    """Put words in the order of LOG_SEVERITIES that they are shown as."""
    return dict(sorted(read.items(), key=lambda row: LOG_SEVERITIES.index(row[1])))


def incident_severities() -> Vocabulary:
    reading = pagerduty.Reading(source="")
    numbered = [word for word in pagerduty.SEVERITY_IN if word[-1].isdigit()]
    by_priority = {
        word.upper(): pagerduty.incident_of({"priority": {"summary": word}}, reading)["severity"]
        for word in numbered
    }
    by_urgency = {
        f"urgency {urgency}": pagerduty.incident_of({"urgency": urgency}, reading)["severity"]
        for urgency in ("high", "low")
    }
    levels = datadog_incidents.Severities({})
    return Vocabulary(
        "Incidents: severity",
        "PagerDuty shows the priority where there is one, else the urgency; a severity is written "
        "as an urgency, a priority as `fields.priority`. Datadog's names can be configured "
        "(`incidentSeverityMap`); blanks and dashes in a word do not matter to it.",
        {
            "pagerduty": {**by_priority, **by_urgency},
            "datadog": datadog_severities(),
            "demo": themselves(demo_incidents.SEVERITIES),
        },
        {
            "pagerduty": {
                word: f"{known.severity}, urgency {known.urgency}"
                for word, known in pagerduty.SEVERITY_IN.items()
            },
            "datadog": {
                word: with_written(levels.to_find(word), levels.to_write(word))
                for words in datadog.SPELLINGS.values()
                for word in words
            },
            "demo": themselves(demo_incidents.SEVERITIES),
        },
    )


def datadog_severities() -> dict[str, str]:
    levels = datadog_incidents.Severities({})
    names = dict.fromkeys(name for word in datadog.SPELLINGS for name in levels.to_find(word))
    return {name: levels.read(name) for name in names}


def with_written(found: Iterable[str], written: str) -> str:
    """Say what a word finds, and what it sets where that is something else."""
    told = ", ".join(found)
    return told if told == written else f"{told}; written: {written}"


def incident_statuses() -> Vocabulary:
    reading = pagerduty.Reading(source="")
    states = dict.fromkeys(pagerduty.STATUS_IN.values())
    shown = {state: pagerduty.incident_of({"status": state}, reading)["status"] for state in states}
    found = dict.fromkeys(s for all_of in datadog_incidents.STATES_TO_FIND.values() for s in all_of)
    return Vocabulary(
        "Incidents: status",
        "Where a word finds more than it sets, the table says what is written.",
        {
            "pagerduty": shown,
            "datadog": {state: datadog_incidents.status_of(state) for state in found},
            "demo": themselves(demo_incidents.STATUSES),
        },
        {
            "pagerduty": pagerduty.STATUS_IN,
            "datadog": {
                word: with_written(states, datadog_incidents.STATE_TO_WRITE[word])
                for word, states in datadog_incidents.STATES_TO_FIND.items()
            },
            "demo": themselves(demo_incidents.STATUSES),
        },
    )


def alert_severities() -> Vocabulary:
    demo = themselves(get_args(get_type_hints(Alert)["severity"]))
    by_priority = {f"P{n}": datadog_alerts.severity_of({"priority": n}) for n in range(1, 6)}
    by_state = {
        f"state {state}": datadog_alerts.severity_of({"overall_state": state})
        for state in datadog_alerts.STATUS_OF
    }
    taken = {
        word: "critical" if level == "sev0" else level
        for level, words in datadog.SPELLINGS.items()
        if level != "unknown"
        for word in words
    }
    return Vocabulary(
        "Alerts: severity",
        "Prometheus shows the value of the label `severity` as it is, or as `severityMap` says, "
        "and takes any word. Datadog shows a monitor's priority where there is one, else what its "
        "tags `priority` and `severity` say in a word below, else what goes with its state.",
        {"datadog": {**by_priority, **by_state}, "demo": demo},
        {"datadog": taken, "demo": demo},
    )


# An alert's status in Alertmanager, one of each kind.
ALERTMANAGER_STATUSES = {
    "active": {"state": "active"},
    "silenced": {"state": "suppressed", "silencedBy": ["a silence"]},
    "inhibited": {"state": "suppressed", "inhibitedBy": ["an alert"]},
    "unprocessed": {"state": "unprocessed"},
}


def alert_statuses() -> Vocabulary:
    taken = {
        word: ", ".join(k for k, status in ALERTMANAGER_STATUSES.items() if wanted.fits(status))
        for word, wanted in alertmanager_filters.STATUSES.items()
    }
    world = demo_world()
    later = demo_world(datetime.timedelta(days=1))
    seen = {alert.incident_id: world.anchor for alert in ALERTS if alert.incident_id}
    demo = {
        demo_alerts.standing_of(alert, acknowledged, at).status
        for alert in ALERTS
        for acknowledged in ({}, seen)
        for at in (world, later)
    }
    return Vocabulary(
        "Alerts: status",
        "Alertmanager forgets alerts when they are resolved, and knows no acknowledging. A monitor "
        "of Datadog is muted while a downtime covers it, whatever its state.",
        {
            "prometheus": alertmanager.STATUS_OF_STATE,
            "datadog": datadog_alerts.STATUS_OF,
            "demo": themselves(sorted(demo)),
        },
        {
            "prometheus": {word: found or "finds none" for word, found in taken.items()},
            "datadog": {word: ", ".join(found) for word, found in datadog_filter.STATUSES.items()},
            "demo": themselves(sorted(demo)),
        },
    )


def demo_world(later: datetime.timedelta = datetime.timedelta()) -> World:
    anchor = datetime.datetime(2026, 1, 14, 15, 30, tzinfo=datetime.UTC)
    return World(anchor, "opsorch", "prod", "demo", anchor + later)


def ticket_statuses() -> Vocabulary:
    github = {
        word: " as ".join(filter(None, (state, github_words.reason_for(word, was_closed=False))))
        for word, state in github_words.STATES.items()
    }
    jira = {
        word: f"{clause}; written: category {jira_transitions.CATEGORY_OF[word]}"
        for word, clause in jira_query.CATEGORY_CLAUSE.items()
    }
    return Vocabulary(
        "Tickets: status",
        "Jira shows the names of the site's statuses as they are, and their category in "
        "`fields.statusCategory`; it takes those names beside the words below, which are in lower "
        "case.",
        {
            "github": themselves(dict.fromkeys(github_words.STATES.values())),
            "demo": themselves(demo_tickets.STATUSES),
        },
        {"github": github, "jira": jira, "demo": themselves(demo_tickets.STATUSES)},
    )


def deployment_statuses() -> Vocabulary:
    conclusions = (*github_runs.RUN_CONCLUSIONS, "any other conclusion")
    runs = {
        **{
            status: github_runs.run_status({"status": status})
            for status in github_runs.RUN_STATUSES
        },
        **{
            word: github_runs.run_status({"status": "completed", "conclusion": word})
            for word in conclusions
        },
    }
    states = {word or "no status": our for word, our in github_runs.DEPLOYMENT_STATES.items()}
    world = demo_world()
    demo = themselves(sorted({demo_deployments.status_of(one, world) for one in DEPLOYMENTS}))
    return Vocabulary(
        "Deployments: status",
        "GitHub's deployments are runs of workflows, or those of its Deployments API.",
        {"github (runs)": runs, "github (deployments)": states, "demo": demo},
        {
            "github": {
                word: ", ".join(sorted(found)) for word, found in github_filter.STATUSES.items()
            },
            "demo": demo,
        },
    )

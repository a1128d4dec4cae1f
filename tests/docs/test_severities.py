"""docs/severities.md has every adapter; log severities are one vocabulary over all sources."""

import re
from collections.abc import Callable, Iterable

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest
from opsorch.plugin import Call
from opsorch.providers.registry import adapters
from opsorch_plugins.datadog.log_mapping import LogReading, entry_of
from opsorch_plugins.elasticsearch.concepts import CANDIDATES
from opsorch_plugins.elasticsearch.mapping import Hit, Reading
from tests.docs.support import page_maker, vocabularies
from tests.harness import ROOT
from tests.plugins.demo.support import ANCHOR, a_world, all_logs, minutes

TITLES = {
    "log": ("Logs: severity",),
    "incident": ("Incidents: severity", "Incidents: status"),
    "alert": ("Alerts: severity", "Alerts: status"),
    "ticket": ("Tickets: status",),
    "deployment": ("Deployments: status",),
}
LOG_SEVERITIES = page_maker("vocabularies").LOG_SEVERITIES


@pytest.mark.parametrize("capability", TITLES)
def test_every_adapter_is_in_the_sections_of_its_capability(capability: str) -> None:
    """In a table, or named in the text where it has no words of its own."""
    page = (ROOT / "docs/severities.md").read_text()
    for title in TITLES[capability]:
        section = page.partition(f"## {title}\n")[2].partition("\n## ")[0].lower()
        assert all(re.search(rf"\b{name}\b", section) for name in adapters(capability))


def words_of(adapter: str) -> list[str]:
    """The words that a source of logs may have for severities, in any letter case."""
    [logs] = [one for one in vocabularies() if one.title == "Logs: severity"]
    return [form for word in logs.shown[adapter] for form in (word, word.upper(), word.title())]


def of_elasticsearch() -> Iterable[str]:
    reading = Reading.of(CANDIDATES, "@timestamp")
    hits = [
        Hit(source={field: value})
        for field in CANDIDATES["severity"]
        for word in words_of("elasticsearch")
        for value in (word, *([int(word)] if word.isdigit() else []))
    ]
    return [entry["severity"] for entry in reading.entries(hits)]


def of_datadog() -> Iterable[str]:
    reading = LogReading("datadog", str)
    return [
        entry_of({"attributes": {"status": word}}, reading)["severity"]
        for word in words_of("datadog")
    ]


def of_demo() -> Iterable[str]:
    return [line["severity"] for line in all_logs(a_world(), ANCHOR - minutes(30), ANCHOR)]


EMITTED: dict[str, Callable[[], Iterable[str]]] = {
    "elasticsearch": of_elasticsearch,
    "datadog": of_datadog,
    "demo": of_demo,
}


@pytest.mark.parametrize("adapter", adapters("log"))
def test_a_log_adapter_emits_the_one_vocabulary(adapter: str) -> None:
    """Whatever its source calls it, an entry has one of our words."""
    emitted = set(EMITTED[adapter]())
    assert {"debug", "info", "warning", "error", "critical"} <= emitted
    assert emitted <= set(LOG_SEVERITIES)


@pytest.mark.parametrize("word", LOG_SEVERITIES)
def test_each_word_of_the_vocabulary_is_shown_as_itself(word: str) -> None:
    """What was shown can be asked for."""
    [logs] = [one for one in vocabularies() if one.title == "Logs: severity"]
    for adapter, shown in logs.shown.items():
        assert shown.get(word, word) == word, adapter
        assert (word in logs.taken[adapter]) is (word in shown.values()), adapter


CONFIGS = {
    "datadog": {"apiKey": "a-key", "appKey": "another-key"},
    "github": {"token": "a-token", "owner": "acme", "repo": "web"},
    "pagerduty": {"apiToken": "a-token", "serviceID": "P1", "fromEmail": "ops@example.com"},
    "prometheus": {"alertmanagerURL": "http://alertmanager.test"},
}


@pytest.mark.parametrize(
    ("capability", "name", "field"),
    [
        ("incident", "pagerduty", "severities"),
        ("incident", "pagerduty", "statuses"),
        ("incident", "datadog", "severities"),
        ("incident", "datadog", "statuses"),
        ("alert", "prometheus", "statuses"),
        ("alert", "datadog", "severities"),
        ("alert", "datadog", "statuses"),
        ("ticket", "github", "statuses"),
        ("deployment", "github", "statuses"),
    ],
)
def test_an_unknown_word_is_refused_with_those_that_are_known(
    capability: str, name: str, field: str, requests_mock: requests_mock.Mocker
) -> None:
    """As the page says, and before anything is asked of the vendor."""
    provider = adapters(capability)[name].load()(CONFIGS[name])
    wanted = f"{capability.title()}s: {'severity' if field == 'severities' else 'status'}"
    [vocabulary] = [one for one in vocabularies() if one.title == wanted]
    with pytest.raises(BadRequest) as refused:
        provider.query({field: ["no-such-word"]}, Call(Deadline.after(5)))
    assert field in refused.value.message
    assert all(word in refused.value.message for word in vocabulary.taken[name])
    assert not requests_mock.called

"""Faults and niceties of the configuration."""

import json
from typing import Any

import pytest
import requests_mock

from opsorch.errors import InvalidConfig
from opsorch.plugin import Call, Dispatcher
from opsorch_plugins.pagerduty.provider import PagerDutyIncidents, PagerDutyServices
from opsorch_plugins.pagerduty.settings import INCIDENT_CONFIG, SERVICE_CONFIG
from tests.plugins.pagerduty.support import CONFIG, TOKEN


def fault_of(config: dict[str, Any], spec: Any = INCIDENT_CONFIG) -> str:
    with pytest.raises(InvalidConfig) as failed:
        spec.parse(config)
    return failed.value.message


@pytest.mark.case("pagerduty", 18)
@pytest.mark.parametrize(
    ("provider_class", "missing"),
    [
        (PagerDutyIncidents, "apiToken, serviceID, fromEmail"),
        (PagerDutyServices, "apiToken"),
    ],
)
def test_every_method_names_what_is_missing(
    http: requests_mock.Mocker, call: Call, provider_class: Any, missing: str
) -> None:
    """In the order of the table, and before any call."""
    dispatcher = Dispatcher(provider_class)
    for method in provider_class.handlers:
        with pytest.raises(InvalidConfig) as failed:
            dispatcher.call(method, {}, {}, call)
        told = f"pagerduty config: missing required field(s): {missing}"
        assert failed.value.message == told
    assert http.call_count == 0


@pytest.mark.case("pagerduty", 18)
@pytest.mark.parametrize("spec", [INCIDENT_CONFIG, SERVICE_CONFIG])
def test_a_url_of_another_kind_is_refused_without_its_value(spec: Any) -> None:
    """The field is named."""
    message = fault_of({**CONFIG, "apiURL": "ftp://x-marks"}, spec)
    assert message == "pagerduty config: field apiURL must be an absolute http(s) URL"


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"apiToken": 5}, "field apiToken must be a string"),
        ({"apiToken": "odd value"}, "field apiToken must be visible ASCII without blanks"),
        ({"apiToken": "odd\nvalue"}, "field apiToken must be visible ASCII without blanks"),
        ({"serviceID": "odd/value"}, "field serviceID must be letters and digits"),
        ({"fromEmail": "odd-value"}, "field fromEmail is not a valid email address"),
        ({"fromEmail": "odd@a@b"}, "field fromEmail is not a valid email address"),
        ({"fromEmail": "odd\n@b"}, "field fromEmail is not a valid email address"),
        ({"fromEmail": ["odd"]}, "field fromEmail must be a string"),
        ({"apiURL": "odd-value"}, "field apiURL must be an absolute http(s) URL"),
        ({"apiURL": "https://u:odd@h"}, "field apiURL must be an absolute http(s) URL"),
        ({"apiURL": "https://h?odd=1"}, "field apiURL must be an absolute http(s) URL"),
        ({"apiURL": "https://h#odd"}, "field apiURL must be an absolute http(s) URL"),
        (
            {"defaultSeverity": "odd"},
            "field defaultSeverity must be one of: critical, high, medium, low, info",
        ),
        ({"defaultSeverity": 1}, "field defaultSeverity must be one of"),
        ({"source": 5}, "field source must be a string"),
        ({"severityFrom": "odd"}, "field severityFrom must be priority or urgency"),
        ({"authScheme": "odd"}, "field authScheme must be token or bearer"),
        ({"timeoutSeconds": 0.5}, "field timeoutSeconds must be a number between 1 and 300"),
        ({"timeoutSeconds": 301}, "field timeoutSeconds must be a number between 1 and 300"),
        ({"timeoutSeconds": "odd"}, "field timeoutSeconds must be a number between 1 and 300"),
    ],
)
def test_a_fault_names_its_field_and_never_the_value(config: dict[str, Any], fault: str) -> None:
    """Whoever reads the message knows what to mend, and learns no secret."""
    message = fault_of({**CONFIG, **config})
    assert message.startswith("pagerduty config: ")
    assert fault in message
    assert "odd" not in message


def test_all_faults_come_at_once() -> None:
    """One look at the message is enough."""
    message = fault_of({"serviceID": " ", "apiURL": "x", "authScheme": "y"})
    assert message == (
        "pagerduty config: missing required field(s): apiToken, serviceID, fromEmail;"
        " field apiURL must be an absolute http(s) URL; field authScheme must be token or bearer"
    )


def test_defaults() -> None:
    """What is not given is as the README says."""
    settings = INCIDENT_CONFIG.parse({**CONFIG, "apiURL": ""})
    del settings["apiToken"]
    assert settings == {
        "serviceID": "PIJ90N7",
        "fromEmail": "ops@example.com",
        "apiURL": "https://api.pagerduty.com",
        "defaultSeverity": "critical",
        "source": "pagerduty",
        "severityFrom": "priority",
        "authScheme": "token",
        "timeoutSeconds": 30,
    }


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("apiKey", "apiToken"),
        ("api_token", "apiToken"),
        ("token", "apiToken"),
        ("serviceId", "serviceID"),
        ("service_id", "serviceID"),
        ("from_email", "fromEmail"),
        ("from", "fromEmail"),
        ("apiUrl", "apiURL"),
        ("api_url", "apiURL"),
        ("baseURL", "apiURL"),
        ("baseUrl", "apiURL"),
    ],
)
def test_other_names_are_accepted_and_lose_to_the_first(alias: str, name: str) -> None:
    """Values are trimmed."""
    others = {key: value for key, value in CONFIG.items() if key != name}
    expected = INCIDENT_CONFIG.parse(CONFIG)
    assert INCIDENT_CONFIG.parse({**others, alias: f" {CONFIG[name]} "}) == expected
    assert INCIDENT_CONFIG.parse({**CONFIG, alias: "https://other.test"}) == expected


def test_one_object_serves_both() -> None:
    """What is for incidents only is neither a fault nor unknown for services."""
    odd = {**CONFIG, "serviceID": 5, "fromEmail": [], "defaultSeverity": "x", "severityFrom": {}}
    settings = SERVICE_CONFIG.parse(odd)
    assert settings["apiURL"] == CONFIG["apiURL"]
    assert SERVICE_CONFIG.unknown(odd) == INCIDENT_CONFIG.unknown(CONFIG) == []
    assert INCIDENT_CONFIG.unknown({**CONFIG, "bogus": 1}) == ["bogus"]


def test_any_word_for_a_severity_may_be_the_default() -> None:
    """It is kept as the normalized one."""
    assert (
        INCIDENT_CONFIG.parse({**CONFIG, "defaultSeverity": " P3 "})["defaultSeverity"] == "medium"
    )


def test_secrets_do_not_show() -> None:
    """Neither settings nor schema print the token, under whichever name it came."""
    provider = PagerDutyIncidents({**CONFIG, "apiToken": "", "token": TOKEN})
    assert TOKEN not in repr(provider.settings)
    assert provider.redact(f"Token token={TOKEN}") == "Token token=***"
    schema = json.loads(json.dumps(PagerDutyIncidents.describe()))["config"]
    assert schema["required"] == ["apiToken", "serviceID", "fromEmail"]
    assert [n for n, entry in schema["properties"].items() if entry.get("writeOnly")] == [
        "apiToken"
    ]

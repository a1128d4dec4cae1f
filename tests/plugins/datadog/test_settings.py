"""Sites, keys and the other settings."""

from typing import Any

import pytest
import requests_mock

from opsorch.errors import InvalidConfig
from opsorch.plugin import Call, Dispatcher
from opsorch_plugins.datadog.provider import (
    DatadogAlerts,
    DatadogIncidents,
    DatadogLogs,
    DatadogMetrics,
    DatadogServices,
)
from opsorch_plugins.datadog.settings import CONFIG as SPEC
from opsorch_plugins.datadog.settings import api_url, app_url
from tests.plugins.datadog.support import API_KEY, APP_KEY, CONFIG

ALL = (DatadogMetrics, DatadogLogs, DatadogAlerts, DatadogIncidents, DatadogServices)

SITES = [
    ("datadoghq.com", "api.datadoghq.com", "app.datadoghq.com"),
    ("us1", "api.datadoghq.com", "app.datadoghq.com"),
    ("us3.datadoghq.com", "api.us3.datadoghq.com", "us3.datadoghq.com"),
    ("us3", "api.us3.datadoghq.com", "us3.datadoghq.com"),
    ("us5", "api.us5.datadoghq.com", "us5.datadoghq.com"),
    ("datadoghq.eu", "api.datadoghq.eu", "app.datadoghq.eu"),
    ("eu", "api.datadoghq.eu", "app.datadoghq.eu"),
    ("EU1", "api.datadoghq.eu", "app.datadoghq.eu"),
    ("ap1", "api.ap1.datadoghq.com", "ap1.datadoghq.com"),
    ("ap2.datadoghq.com", "api.ap2.datadoghq.com", "ap2.datadoghq.com"),
    ("uk1", "api.uk1.datadoghq.com", "uk1.datadoghq.com"),
    ("gov", "api.ddog-gov.com", "app.ddog-gov.com"),
    ("us1-fed", "api.ddog-gov.com", "app.ddog-gov.com"),
    ("us2-fed", "api.us2.ddog-gov.com", "us2.ddog-gov.com"),
    ("us2.ddog-gov.com", "api.us2.ddog-gov.com", "us2.ddog-gov.com"),
    ("https://app.datadoghq.eu/", "api.datadoghq.eu", "app.datadoghq.eu"),
    ("api.us5.datadoghq.com", "api.us5.datadoghq.com", "us5.datadoghq.com"),
    (" https://US3.datadoghq.com/logs ", "api.us3.datadoghq.com", "us3.datadoghq.com"),
    ("us9.datadoghq.com", "api.us9.datadoghq.com", "us9.datadoghq.com"),
]
BAD_SITES = (
    "datadoghq.org",
    "evil-datadoghq.com",
    "datadoghq.com.evil.com",
    "user@datadoghq.com",
    "ftp://datadoghq.com",
    "https://[",
    "us 3",
    "us_3.datadoghq.com",
    "mars",
)


@pytest.mark.case("datadog", 20)
@pytest.mark.parametrize(("site", "api", "app"), SITES)
def test_a_site_has_an_api_and_a_user_interface(site: str, api: str, app: str) -> None:
    """Regional sites have no ``app.``."""
    settings = SPEC.parse({**CONFIG, "site": site})
    assert api_url(settings) == f"https://{api}"
    assert app_url(settings) == f"https://{app}"


@pytest.mark.case("datadog", 20)
@pytest.mark.parametrize("site", BAD_SITES)
def test_a_bad_site_is_refused_without_its_value(site: str) -> None:
    with pytest.raises(InvalidConfig) as told:
        SPEC.parse({**CONFIG, "DD_SITE": site})
    assert told.value.message == "datadog config: field site is not a Datadog site"


@pytest.mark.case("datadog", 20)
@pytest.mark.parametrize("provider_class", ALL)
def test_missing_keys_are_named(provider_class: Any, call: Call) -> None:
    """Every method of every class, and nothing is sent."""
    for method in provider_class.handlers:
        with pytest.raises(InvalidConfig) as told:
            Dispatcher(provider_class).call(method, {"apiKey": "  "}, {}, call)
        assert "missing required field(s): apiKey, appKey" in told.value.message


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"apiURL": "secret-value"}, "field apiURL must be an absolute http(s) URL"),
        ({"appUrl": "//x"}, "field appURL must be an absolute http(s) URL"),
        ({"tagKeys": {"team": "a b"}}, "field tagKeys.team must be a tag key"),
        ({"tagKeys": {"host": "a"}}, "field tagKeys may only have the keys service, team,"),
        ({"timelineMode": "x"}, "field timelineMode must be one of: auto, timeline, todos"),
        ({"serviceSource": "x"}, "field serviceSource must be definitions or catalog"),
        ({"searchMode": "x"}, "field searchMode must be simple or raw"),
        ({"logStorageTier": "x"}, "field logStorageTier must be one of"),
        ({"incidentFields": {"status": "a:b"}}, "field incidentFields.status must be the name"),
        ({"incidentSeverityMap": {"low": "a OR b"}}, "field incidentSeverityMap.low must be"),
        ({"incidentType": "x"}, "field incidentTypeUUID must be a UUID"),
        ({"defaultLimit": 0}, "field defaultLimit must be a whole number"),
        ({"maxResults": True}, "field maxResults must be a whole number"),
        ({"apiKey": "kéy"}, "field apiKey must be visible ASCII"),
        ({"app_key": "a b", "appKey": None}, "field appKey must be visible ASCII"),
        ({"logIndexes": "main"}, "field logIndexes must be a list"),
        ({"caFile": "/nowhere"}, "field caFile cannot be read"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_without_its_value(
    config: dict[str, Any], fault: str
) -> None:
    with pytest.raises(InvalidConfig) as told:
        SPEC.parse({**CONFIG, **config})
    assert fault in told.value.message
    assert "secret-value" not in told.value.message and "kéy" not in told.value.message


@pytest.mark.parametrize(
    "config",
    [
        {"api_key": API_KEY, "applicationKey": APP_KEY},
        {"DD_API_KEY": f" {API_KEY} ", "DD_APP_KEY": APP_KEY},
        {"apiKey": API_KEY, "app_key": APP_KEY},
    ],
)
def test_keys_have_other_names_and_go_into_headers(
    config: dict[str, Any], http: requests_mock.Mocker, call: Call
) -> None:
    """A configured header cannot take their place, and the base URL is the configured one."""
    http.get("https://dd.example.com/api/v1/monitor", json=[])
    more = {"baseURL": "https://dd.example.com/", "headers": {"DD-API-KEY": "x", "X-Proxy": "y"}}
    assert DatadogAlerts({**config, **more}).query({}, call) == []
    headers = http.last_request.headers
    assert headers["DD-API-KEY"] == API_KEY
    assert headers["DD-APPLICATION-KEY"] == APP_KEY
    assert (headers["X-Proxy"], headers["Accept"]) == ("y", "application/json")
    assert headers["User-Agent"].startswith("opsorch-datadog/")


def test_links_lead_to_a_custom_subdomain(http: requests_mock.Mocker, call: Call) -> None:
    http.get("https://api.us5.datadoghq.com/api/v1/monitor/7", json={"id": 7})
    provider = DatadogAlerts({**CONFIG, "site": "us5", "appURL": "https://acme.datadoghq.com/"})
    assert provider.get({"id": "7"}, call)["url"] == "https://acme.datadoghq.com/monitors/7"


@pytest.mark.parametrize("provider_class", ALL)
def test_the_description_names_methods_and_hides_no_field(provider_class: Any) -> None:
    about = provider_class.describe()
    assert about["name"] == "datadog"
    assert all(method.startswith(f"{about['capability']}.") for method in about["methods"])
    assert about["config"]["required"] == ["apiKey", "appKey"]
    assert about["config"]["properties"]["appKey"]["writeOnly"] is True

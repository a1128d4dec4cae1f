"""Services: definitions of every version, and the software catalog."""

from collections.abc import Callable
from typing import Any

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest
from opsorch.plugin import Call
from opsorch_plugins.datadog.services import DatadogServices
from tests.plugins.datadog.support import APP, CATALOG, DEFINITIONS, Json, sent


def definition(number: int, schema: Json) -> Json:
    return {
        "id": f"def-{number}",
        "type": "service-definition",
        "attributes": {"schema": schema, "meta": {"origin": "api"}},
    }


V1 = definition(
    1,
    {
        "schema-version": "v1",
        "info": {"dd-service": "billing", "display-name": "Billing", "description": "Money"},
        "org": {"team": "pay", "application": "shop"},
    },
)
V2 = definition(
    2,
    {
        "schema-version": "v2",
        "dd-service": "web",
        "team": "core",
        "tags": ["env:prod", "env:blue", "lonely"],
        "contacts": [{"type": "email", "contact": "a@example.com"}],
        "integrations": {"pagerduty": "https://acme.pagerduty.com/x"},
    },
)
V22 = definition(
    3,
    {
        "schema-version": "v2.2",
        "dd-service": "web-api",
        "team": "core",
        "tier": "1",
        "lifecycle": "production",
        "type": "web",
        "application": "shop",
        "description": "The API",
        "languages": ["go"],
        "links": [{"name": "Runbook", "type": "runbook", "url": "https://example.com"}],
        "tags": ["env:dev"],
    },
)


@pytest.mark.case("datadog", 17)
def test_definitions_of_every_version_are_mapped(
    http: requests_mock.Mocker, services: DatadogServices, call: Call
) -> None:
    """The id is the service's name, as it stands in tags elsewhere."""
    http.get(DEFINITIONS, json={"data": [V1, V2, V22, definition(4, {}), None, {"id": "x"}]})
    found = services.query({}, call)
    assert sent(http.last_request) == {
        "page[size]": "100",
        "page[number]": "0",
        "schema_version": "v2.2",
    }
    assert found == [
        {
            "id": "billing",
            "name": "billing",
            "url": f"{APP}/apm/services/billing",
            "tags": {"team": "pay", "application": "shop"},
            "metadata": {
                "source": "datadog",
                "definition_id": "def-1",
                "description": "Money",
                "meta": {"origin": "api"},
            },
        },
        {
            "id": "web",
            "name": "web",
            "url": f"{APP}/apm/services/web",
            "tags": {"env": "prod,blue", "lonely": "", "team": "core"},
            "metadata": {
                "source": "datadog",
                "definition_id": "def-2",
                "contacts": [{"type": "email", "contact": "a@example.com"}],
                "integrations": {"pagerduty": "https://acme.pagerduty.com/x"},
                "meta": {"origin": "api"},
            },
        },
        {
            "id": "web-api",
            "name": "web-api",
            "url": f"{APP}/apm/services/web-api",
            "tags": {
                "env": "dev",
                "tier": "1",
                "lifecycle": "production",
                "type": "web",
                "team": "core",
                "application": "shop",
            },
            "metadata": {
                "source": "datadog",
                "definition_id": "def-3",
                "description": "The API",
                "links": [{"name": "Runbook", "type": "runbook", "url": "https://example.com"}],
                "languages": ["go"],
                "meta": {"origin": "api"},
            },
        },
    ]


@pytest.mark.case("datadog", 17)
@pytest.mark.parametrize(
    ("payload", "names"),
    [
        ({"name": "WEB"}, ["web", "web-api"]),
        ({"ids": ["web"]}, ["web"]),
        ({"ids": ["def-3", "billing", "none"]}, ["billing", "web-api"]),
        ({"scope": {"service": "Web"}}, ["web"]),
        ({"scope": {"team": "CORE"}}, ["web", "web-api"]),
        ({"scope": {"environment": "prod"}}, ["billing", "web"]),
        ({"scope": {"environment": "Blue"}}, ["billing", "web"]),
        ({"tags": {"team": "core", "tier": "1"}}, ["web-api"]),
        ({"tags": {"env": "prod"}}, ["web"]),
        ({"tags": {"none": ""}}, []),
        ({"limit": 1}, ["billing"]),
        ({"name": "web", "limit": 1}, ["web"]),
    ],
)
def test_filters(
    http: requests_mock.Mocker,
    services: DatadogServices,
    call: Call,
    payload: Json,
    names: list[str],
) -> None:
    http.get(DEFINITIONS, json={"data": [V1, V2, V22]})
    assert [service["name"] for service in services.query(payload, call)] == names


def page(first: int, count: int) -> Json:
    data = [definition(n, {"dd-service": f"s{n}"}) for n in range(first, first + count)]
    return {"json": {"data": data}}


@pytest.mark.case("datadog", 17)
def test_filters_come_before_the_limit(
    http: requests_mock.Mocker, services: DatadogServices, call: Call
) -> None:
    """The one that fits stands on the second page, behind a full one."""
    http.get(DEFINITIONS, [page(0, 100), page(100, 3)])
    found = services.query({"name": "s101", "limit": 1}, call)
    assert [service["id"] for service in found] == ["s101"]
    assert [sent(request)["page[number]"] for request in http.request_history] == ["0", "1"]


def test_pages_end(http: requests_mock.Mocker, build: Callable[..., Any], call: Call) -> None:
    """With enough, with the time, and after fifty; a service that comes twice is one."""
    http.get(DEFINITIONS, [page(0, 100)])
    services = build(DatadogServices)
    assert len(services.query({"limit": 7}, call)) == 7
    assert http.call_count == 1
    assert len(services.query({}, Call(Deadline.after(0.9)))) == 100
    assert http.call_count == 2
    assert len(services.query({}, call)) == 100
    assert http.call_count == 52
    assert len(build(DatadogServices, maxResults=5).query({}, call)) == 5


@pytest.mark.parametrize("payload", [{"tags": {"a": 1}}, {"ids": "x"}, {"limit": -1}])
def test_what_does_not_fit(
    http: requests_mock.Mocker, services: DatadogServices, call: Call, payload: Json
) -> None:
    with pytest.raises(BadRequest):
        services.query(payload, call)
    assert http.call_count == 0


def test_the_catalog(http: requests_mock.Mocker, build: Callable[..., Any], call: Call) -> None:
    """By offset; the owner is the team."""
    entity = {
        "id": "e1",
        "attributes": {
            "kind": "service",
            "name": "web",
            "displayName": "Web",
            "owner": "core",
            "tags": ["env:prod"],
        },
        "meta": {"origin": "discovered"},
    }
    many = [{"id": f"x{n}", "attributes": {"name": f"x{n}"}} for n in range(100)]
    http.get(CATALOG, [{"json": {"data": many}}, {"json": {"data": [entity]}}])
    provider = build(DatadogServices, serviceSource="catalog", tagKeys={"team": "squad"})
    [found] = provider.query({"scope": {"team": "core", "environment": "prod"}}, call)
    assert found == {
        "id": "web",
        "name": "web",
        "url": f"{APP}/apm/services/web",
        "tags": {"env": "prod", "team": "core"},
        "metadata": {
            "source": "datadog",
            "definition_id": "e1",
            "displayName": "Web",
            "meta": {"origin": "discovered"},
        },
    }
    assert sent(http.last_request) == {
        "filter[kind]": "service",
        "page[offset]": "100",
        "page[limit]": "100",
        "includeDiscovered": "true",
    }


@pytest.mark.parametrize(("source", "url"), [("definitions", DEFINITIONS), ("catalog", CATALOG)])
def test_the_check_reads_one(
    http: requests_mock.Mocker, build: Callable[..., Any], call: Call, source: str, url: str
) -> None:
    http.get("https://api.datadoghq.com/api/v1/validate", json={"valid": True})
    http.get(url, json={"data": []})
    assert all(check.ok for check in build(DatadogServices, serviceSource=source).check(call))

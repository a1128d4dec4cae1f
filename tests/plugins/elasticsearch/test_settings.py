"""Faults and niceties of the configuration."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests_mock
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch.errors import InvalidConfig
from opsorch.observability.redact import Secret
from opsorch.plugin import Call
from opsorch_plugins.elasticsearch.indices import IndexPattern
from opsorch_plugins.elasticsearch.provider import ElasticsearchLogs
from opsorch_plugins.elasticsearch.settings import CONFIG, CloudId, addresses_of, kibana_of
from tests.plugins.elasticsearch.support import ADDRESS, Json, answer

Build = Callable[..., ElasticsearchLogs]

GOOD: Json = {"addresses": [ADDRESS]}


def cloud_id(text: str) -> str:
    return f"name:{base64.b64encode(text.encode()).decode()}"


def fault_of(config: Json) -> str:
    with pytest.raises(InvalidConfig) as failed:
        CONFIG.parse(config)
    return failed.value.message


@pytest.mark.case("elasticsearch", 20)
@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({}, "addresses or cloudID is required"),
        ({"addresses": ""}, "addresses or cloudID is required"),
        ({"addresses": []}, "field addresses must be a list of absolute http or https URLs"),
        ({"addresses": 5}, "field addresses must be a list"),
        ({"addresses": ["http://h", "odd-value"]}, "field addresses[1] must be an absolute http"),
        ({"addresses": ["ftp://odd-value"]}, "field addresses[0] must be an absolute http or"),
        ({"addresses": [None]}, "field addresses[0] must be an absolute http or https URL"),
        ({"addresses": "http://h,odd-value"}, "field addresses[1] must be"),
        ({"cloudID": "odd-value"}, "field cloudID is not a valid cloud id"),
        ({"cloudID": cloud_id("odd-value")}, "field cloudID is not a valid cloud id"),
        ({"cloudID": cloud_id("odd/value$a")}, "field cloudID is not a valid cloud id"),
        ({"cloudID": cloud_id("host$a$odd value")}, "field cloudID is not a valid cloud id"),
        ({"cloudID": 5}, "field cloudID is not a valid cloud id"),
        ({**GOOD, "username": "odd-value"}, "username and password must be given together"),
        ({**GOOD, "password": "odd-value"}, "username and password must be given together"),
        *(
            ({**GOOD, "apiKey": key}, "field apiKey must be base64 of id:key, id:key, or {id,")
            for key in ("odd-value", "odd:value:x", "odd-value:", {"id": "odd-value"}, 5, "b2Rk")
        ),
        ({**GOOD, "bearerToken": "odd value"}, "field bearerToken must be visible ASCII"),
        ({**GOOD, "indexPattern": []}, "field indexPattern must not be empty"),
        ({**GOOD, "indexPattern": "a,,odd-value"}, "field indexPattern must not be empty"),
        ({**GOOD, "indexPattern": 5}, "field indexPattern must be a string or a list"),
        *(
            ({**GOOD, "indexPattern": text}, "field indexPattern holds a character no index name")
            for text in (
                *("odd value", 'odd"value', "odd\\value", "odd/value", "odd|value", "odd?value"),
                *("odd#value", "Odd-value", "..", ".", "<odd", "odd>", "<odd-{now/d}?>", "odd:"),
                *("<odd/value>", "<Odd-{now/d}>", "-", "odd\x00value", "a:.."),
            )
        ),
        ({**GOOD, "kibanaURL": "odd-value"}, "field kibanaURL must be an absolute http(s) URL"),
        ({**GOOD, "kibanaURL": "http://u:odd-value@h"}, "without user and password"),
        ({**GOOD, "kibanaSpace": "odd/value"}, "field kibanaSpace must be lower-case letters"),
        ({**GOOD, "flavor": "odd-value"}, "field flavor must be one of: auto, elasticsearch, op"),
        ({**GOOD, "timestampField": "odd*value"}, "field timestampField must be a field name"),
        ({**GOOD, "fieldMap": {"message": "odd-value"}}, "field fieldMap.message must be a list"),
        ({**GOOD, "fieldMap": {"team": ["odd*value"]}}, "field fieldMap.team must be a list of f"),
        ({**GOOD, "fieldMap": {"odd": ["x"]}}, "field fieldMap must be an object with the keys m"),
        ({**GOOD, "fieldTypes": "odd-value"}, "field fieldTypes must be true or false"),
        ({**GOOD, "searchMode": "odd-value"}, "field searchMode must be one of: simple, lucene,"),
        ({**GOOD, "defaultLimit": 10_001}, "field defaultLimit must be a whole number between 1"),
        ({**GOOD, "maxResults": 0}, "field maxResults must be a whole number between 1 and 1"),
        ({**GOOD, "pageSize": "odd-value"}, "field pageSize must be a whole number between 1 a"),
        ({**GOOD, "defaultLookbackSeconds": -1}, "field defaultLookbackSeconds must be a whole"),
        ({**GOOD, "maxSpanSeconds": 0.5}, "field maxSpanSeconds must be a whole number"),
        ({**GOOD, "terminateAfter": True}, "field terminateAfter must be a whole number"),
        ({**GOOD, "allowIndexOverride": 1}, "field allowIndexOverride must be true or false"),
        ({**GOOD, "sourceIncludes": "odd-value"}, "field sourceIncludes must be a list of strings"),
        ({**GOOD, "sourceExcludes": [5]}, "field sourceExcludes must be a list of strings"),
        ({**GOOD, "headers": {"X-A": "odd-value\nX"}}, "field headers.X-A cannot be sent"),
        ({**GOOD, "caFile": "/odd-value"}, "field caFile cannot be read"),
        ({**GOOD, "caCert": __file__}, "field caFile must hold PEM certificates"),
        ({**GOOD, "keyFile": __file__}, "keyFile needs certFile"),
        ({**GOOD, "insecureSkipVerify": "odd-value"}, "field insecureSkipVerify must be true or f"),
        ({**GOOD, "timeoutSeconds": 0}, "field timeoutSeconds must be a number between 0 and 300"),
    ],
)  # fmt: skip
def test_a_fault_names_its_field_and_never_the_value(config: Json, fault: str) -> None:
    """Whoever reads the message knows what to mend, and learns no secret."""
    message = fault_of(config)
    assert message.startswith("elasticsearch config: ")
    assert fault in message
    assert "odd" not in message.lower()


@pytest.mark.case("elasticsearch", 20)
def test_all_faults_come_at_once() -> None:
    """One look at the message is enough."""
    message = fault_of({"addresses": ["x"], "pageSize": 0, "searchMode": "y"})
    assert all(name in message for name in ("addresses[0]", "pageSize", "searchMode"))


@pytest.mark.case("elasticsearch", 20)
@pytest.mark.parametrize(
    ("given_as", "found"),
    [
        ("http://h:9200", ["http://h:9200"]),
        ("http://a/ , https://b/prefix/", ["http://a", "https://b/prefix"]),
        (["http://u:p@a"], ["http://u:p@a"]),
    ],
)
def test_addresses_may_be_a_text(given_as: Any, found: list[str]) -> None:
    """One, or several with commas."""
    assert addresses_of(CONFIG.parse({"addresses": given_as})) == found


@pytest.mark.parametrize(
    ("alias", "name", "value"),
    [
        *((alias, "addresses", ["http://h"]) for alias in ("url", "urls", "hosts", "address")),
        ("cloudId", "cloudID", cloud_id("h$e")),
        ("cloud_id", "cloudID", cloud_id("h$e")),
        ("user", "username", "x"),
        ("api_key", "apiKey", "aTpr"),
        ("token", "bearerToken", "x"),
        ("serviceToken", "bearerToken", "x"),
        *((alias, "indexPattern", "x-*") for alias in ("index", "indices", "index_pattern")),
        ("kibanaUrl", "kibanaURL", "http://k"),
        ("dashboardsURL", "kibanaURL", "http://k"),
        ("dataViewId", "dataViewID", "x"),
        ("indexPatternID", "dataViewID", "x"),
        ("timeField", "timestampField", "when"),
        ("fields", "fieldMap", {"team": ["squad"]}),
        ("timeout", "timeoutSeconds", 5),
    ],
)
def test_other_names_are_accepted(alias: str, name: str, value: Any) -> None:
    """Configurations written for other versions keep working."""
    needed: Json = {} if name in ("addresses", "cloudID") else dict(GOOD)
    if name == "username":
        needed["password"] = "x"
    found = CONFIG.parse({**needed, alias: value})[name]
    found = found.reveal() if isinstance(found, Secret) else found
    assert isinstance(found, CloudId) if name == "cloudID" else found == value
    assert CONFIG.unknown({alias: value, "bogus": 1}) == ["bogus"]


@pytest.mark.case("elasticsearch", 18)
@pytest.mark.parametrize(
    ("decoded", "elasticsearch", "kibana"),
    [
        ("eu.cloud.test$es1$kb1", "https://es1.eu.cloud.test", "https://kb1.eu.cloud.test"),
        ("cloud.test:9243$es1$kb1", "https://es1.cloud.test:9243", "https://kb1.cloud.test:9243"),
        ("cloud.test$es1:9$kb1:8$x", "https://es1.cloud.test:9", "https://kb1.cloud.test:8"),
        ("cloud.test$es1", "https://es1.cloud.test", None),
        ("cloud.test$es1$", "https://es1.cloud.test", None),
    ],
)
def test_a_cloud_id_names_both_hosts(decoded: str, elasticsearch: str, kibana: str | None) -> None:
    """It wins over addresses; padding may be missing; a configured Kibana wins over its own."""
    given_id = cloud_id(decoded).rstrip("=")
    parsed = CONFIG.parse({**GOOD, "cloudID": given_id})
    assert addresses_of(parsed) == [elasticsearch]
    assert kibana_of(parsed) == kibana
    other = CONFIG.parse({"cloudID": given_id, "kibanaURL": "http://k", "kibanaSpace": "s"})
    assert kibana_of(other) == "http://k/s/s"


@pytest.mark.case("elasticsearch", 18)
def test_a_query_of_a_cloud_deployment(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Sent to its Elasticsearch, with a link to its Kibana."""
    http.post("https://es1.cloud.test/logs-%2A/_search", json=answer())
    provider = logs_of(cloudID=cloud_id("cloud.test$es1$kb1"))
    url = provider.query({}, call)["url"]
    assert url.startswith("https://kb1.cloud.test/app/discover#/?")


@pytest.mark.parametrize(
    ("given_as", "path"),
    [
        ("logs-*", "logs-%2A"),
        (["logs-*", "-logs-x", "eu:logs-*"], "logs-%2A%2C-logs-x%2Ceu%3Alogs-%2A"),
        ("<logs-{now/d}>", "%3Clogs-%7Bnow%2Fd%7D%3E"),
        ("<logs-{now/M{yyyy.MM|+12:00}}-x>,a", None),
        ("EU-cluster:logs-*", "EU-cluster%3Alogs-%2A"),
        (".ds-logs-app", ".ds-logs-app"),
        ("%2e%2e", "%252e%252e"),
    ],
)
def test_index_patterns_are_one_segment_of_the_path(given_as: Any, path: str | None) -> None:
    """Nothing of them can leave it."""
    pattern = IndexPattern.of(CONFIG.parse({**GOOD, "indexPattern": given_as})["indexPattern"])
    assert path is None or pattern.path == path
    assert not set(pattern.path) & set("/?#")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from('ab*-.:,/<>{}%?# "\\|A_'), max_size=12))
def test_no_index_pattern_reaches_another_path(text: str) -> None:
    """It is refused or it is one segment, and none that means "up"."""
    try:
        pattern = IndexPattern.of(text)
    except ValueError:
        return
    assert not set(pattern.path) & set('/?#"\\| ')
    assert pattern.path not in (".", "..", "")


def test_secrets_do_not_show() -> None:
    """In none of the forms in which they are sent."""
    config = {
        "addresses": "http://ops:url%2Dsecret@h",
        "username": "u",
        "password": "pass-secret",
        "apiKey": "an-id:key-secret",
        "bearerToken": "token-secret",
        "headers": {"X-Key": "header-secret"},
    }
    provider = ElasticsearchLogs(config)
    texts = ["url-secret", "pass-secret", "key-secret", "token-secret", "header-secret"]
    texts += [base64.b64encode(t.encode()).decode() for t in ("u:pass-secret", "ops:url-secret")]
    texts.append(base64.b64encode(b"an-id:key-secret").decode())
    shown = f"{provider.settings['apiKey']!r} {provider.settings['headers']!r}"
    assert not any(text in shown for text in texts)
    assert [provider.redact(text) for text in texts] == ["***"] * len(texts)


def test_the_schema_is_json_and_marks_secrets() -> None:
    """plugin.describe answers with it."""
    about = json.loads(json.dumps(ElasticsearchLogs.describe()))
    assert (about["name"], about["capability"]) == ("elasticsearch", "log")
    assert about["methods"] == ["log.query"]
    properties = about["config"]["properties"]
    secret = {name for name, entry in properties.items() if entry.get("writeOnly")}
    assert secret == {"password", "apiKey", "bearerToken", "headers"}
    assert properties["indexPattern"]["default"] == "logs-*"
    assert all(entry.get("description") for entry in properties.values())

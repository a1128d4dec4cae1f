"""Faults and niceties of the configuration."""

import json
import pathlib
import subprocess
from typing import Any

import pytest

from opsorch.errors import InvalidConfig
from opsorch.observability.redact import Secret
from opsorch_plugins.prometheus.provider import PrometheusAlerts, PrometheusMetrics
from opsorch_plugins.prometheus.settings import (
    ALERT_CONFIG,
    METRIC_CONFIG,
    label_names,
    without_userinfo,
)
from tests.plugins.prometheus.support import ALERTMANAGER, PROMETHEUS

GOOD = {"url": PROMETHEUS}


def fault_of(config: dict[str, Any]) -> str:
    with pytest.raises(InvalidConfig) as failed:
        METRIC_CONFIG.parse(config)
    return failed.value.message


@pytest.mark.case("prometheus", 20)
@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({}, "missing required field(s): url"),
        ({"url": " "}, "missing required field(s): url"),
        ({"url": 5}, "field url must be a string"),
        ({"url": "ftp://odd-value"}, "field url must be an absolute http(s) URL"),
        ({"url": "odd-value:9090"}, "field url must be an absolute http(s) URL"),
        ({"url": "http://odd-value?a=b"}, "without query or fragment"),
        ({"url": "http://odd-value#f"}, "without query or fragment"),
        ({**GOOD, "alertmanagerURL": "odd-value"}, "field alertmanagerURL must be"),
        ({**GOOD, "alertmanagerURL": []}, "field alertmanagerURL must be"),
        ({**GOOD, "username": "odd-value"}, "username and password must be given together"),
        ({**GOOD, "password": "odd-value"}, "username and password must be given together"),
        (
            {**GOOD, "bearerToken": "odd-value", "username": "odd-value", "password": "odd-value"},
            "bearerToken and username exclude each other",
        ),
        ({**GOOD, "bearerToken": "odd value"}, "field bearerToken must be visible ASCII"),
        ({**GOOD, "bearerTokenFile": "/odd-value"}, "field bearerTokenFile cannot be read"),
        ({**GOOD, "tenant": "odd\nvalue"}, "field tenant must be visible ASCII"),
        ({**GOOD, "headers": ["odd-value"]}, "field headers must be an object of strings"),
        ({**GOOD, "headers": {"a": 5}}, "field headers must be an object of strings"),
        ({**GOOD, "headers": {"a b": "odd-value"}}, "field headers has a key that is no header"),
        ({**GOOD, "headers": {"X-A": "odd-value\nX"}}, "field headers.X-A cannot be sent"),
        ({**GOOD, "caFile": "/odd-value"}, "field caFile cannot be read"),
        ({**GOOD, "caFile": "/"}, "field caFile cannot be read"),
        ({**GOOD, "caFile": __file__}, "field caFile must hold PEM certificates"),
        ({**GOOD, "certFile": "/odd-value"}, "field certFile cannot be read"),
        ({**GOOD, "certFile": __file__}, "certFile and keyFile must hold a PEM certificate"),
        ({**GOOD, "keyFile": __file__}, "keyFile needs certFile"),
        ({**GOOD, "insecureSkipVerify": "odd-value"}, "field insecureSkipVerify must be true"),
        ({**GOOD, "timeoutSeconds": 0}, "field timeoutSeconds must be a number between 0 and 300"),
        ({**GOOD, "timeoutSeconds": 301}, "field timeoutSeconds must be a number between"),
        ({**GOOD, "timeoutSeconds": "odd-value"}, "field timeoutSeconds must be a number between"),
        ({**GOOD, "httpMethod": "odd-value"}, "field httpMethod must be GET or POST"),
        ({**GOOD, "labels": {"service": "odd-value"}}, "field labels.service must be a label name"),
        ({**GOOD, "labels": {"odd": "x"}}, "field labels may only have the keys service, team"),
        ({**GOOD, "severityLabel": "odd-value"}, "field severityLabel must be a label name"),
        ({**GOOD, "severityMap": {"a": 1}}, "field severityMap must be an object of strings"),
        ({**GOOD, "externalURL": "odd-value"}, "field externalURL must be an absolute"),
        ({**GOOD, "alertmanagerExternalURL": "http://u:odd-value@h"}, "without user and password"),
        ({**GOOD, "graphPath": "odd-value"}, "field graphPath must be a path"),
        ({**GOOD, "allowRawQuery": 1}, "field allowRawQuery must be true or false"),
        ({**GOOD, "enforcedMatchers": {"a": "b"}}, "field enforcedMatchers must be a list"),
        ({**GOOD, "enforcedMatchers": [{"odd-value": 1}]}, "field enforcedMatchers must be a list"),
        (
            {**GOOD, "enforcedMatchers": [{"label": "a", "operator": "odd-value"}]},
            "field enforcedMatchers.0.operator does not fit",
        ),
        (
            {**GOOD, "enforcedMatchers": [{"label": "a", "value": "b"}, {"value": "odd-value"}]},
            "field enforcedMatchers.1.label does not fit",
        ),
        ({**GOOD, "defaultLookbackSeconds": 0}, "field defaultLookbackSeconds must be a whole"),
        ({**GOOD, "maxSeries": 1.5}, "field maxSeries must be a whole number"),
        ({**GOOD, "describeLabelLimit": -1}, "field describeLabelLimit must be a whole number"),
    ],
)
def test_a_fault_names_its_field_and_never_the_value(config: dict[str, Any], fault: str) -> None:
    """Whoever reads the message knows what to mend, and learns no secret."""
    message = fault_of(config)
    assert message.startswith("prometheus config: ")
    assert fault in message
    assert "odd" not in message.replace("field labels may", "")


@pytest.mark.case("prometheus", 20)
def test_all_faults_come_at_once() -> None:
    """One look at the message is enough."""
    message = fault_of({"timeoutSeconds": -1, "httpMethod": "PUT"})
    for part in ("url", "timeoutSeconds", "httpMethod"):
        assert part in message


def test_alerts_need_their_own_url() -> None:
    """The same object may be given to both providers, each needs its part of it."""
    with pytest.raises(InvalidConfig, match=r"missing required field\(s\): alertmanagerURL"):
        PrometheusAlerts(GOOD)
    both = {**GOOD, "alertmanagerURL": ALERTMANAGER}
    PrometheusAlerts(both)
    PrometheusMetrics(both)
    assert METRIC_CONFIG.unknown(both) == ALERT_CONFIG.unknown(both) == []
    assert METRIC_CONFIG.unknown({**both, "bogus": 1}) == ["bogus"]


@pytest.mark.parametrize(
    ("alias", "name", "value"),
    [
        ("prometheusURL", "url", PROMETHEUS),
        ("address", "url", PROMETHEUS),
        ("alertManagerURL", "alertmanagerURL", ALERTMANAGER),
        ("alertmanager_url", "alertmanagerURL", ALERTMANAGER),
        ("user", "username", "x"),
        ("apiToken", "bearerToken", "x"),
        ("orgID", "tenant", "a|b"),
        ("timeout", "timeoutSeconds", 5),
        ("labelMap", "labels", {"team": "squad"}),
        ("publicURL", "externalURL", PROMETHEUS),
        ("tlsSkipVerify", "insecureSkipVerify", True),
    ],
)
def test_other_names_are_accepted(alias: str, name: str, value: Any) -> None:
    """Configurations written for other versions keep working."""
    needed = {"url": PROMETHEUS} if name != "url" else {}
    if name == "username":
        needed["password"] = "x"
    settings = METRIC_CONFIG.parse({**needed, alias: value})
    given = settings[name].reveal() if isinstance(settings[name], Secret) else settings[name]
    assert given == ([value] if name == "alertmanagerURL" else value)


def test_secrets_do_not_show() -> None:
    """Neither settings nor providers print a password, token or header value."""
    config = {
        "url": "http://ops:url-secret@h",
        "bearerToken": "token-secret",
        "headers": {"X-Key": "header-secret"},
    }
    provider = PrometheusMetrics(config)
    shown = f"{provider.settings!r} {provider.redact('url-secret token-secret header-secret')}"
    assert "token-secret" not in shown and "header-secret" not in shown
    assert provider.redact("url-secret") == "***"


def test_userinfo_is_taken_out_of_urls() -> None:
    """It may be percent-encoded, and a password may hold a colon or an at sign."""
    assert without_userinfo("http://h:1/p") == ("http://h:1/p", None)
    assert without_userinfo("https://u:p%40%3Ax@h:1/p") == ("https://h:1/p", ("u", "p@:x"))
    assert without_userinfo("http://u@[::1]:1") == ("http://[::1]:1", ("u", ""))


def test_labels_not_named_keep_their_defaults() -> None:
    """A map of one label changes one label."""
    settings = METRIC_CONFIG.parse({**GOOD, "labels": {"environment": "stage"}})
    expected = {"service": "service", "team": "team", "environment": "stage"}
    assert label_names(settings) == expected


def test_the_schema_is_json_and_marks_secrets() -> None:
    """plugin.describe answers with it."""
    schema = json.loads(json.dumps(PrometheusAlerts.describe()))["config"]
    assert schema["required"] == ["alertmanagerURL"]
    secret = {name for name, entry in schema["properties"].items() if entry.get("writeOnly")}
    assert secret == {"password", "bearerToken", "headers"}


def test_an_encrypted_key_is_refused_without_a_question(tmp_path: pathlib.Path) -> None:
    """OpenSSL would ask the terminal for the passphrase, which a plugin does not have."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -passout pass:test -subj /CN=x -days 1"
    arguments = [*command.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(arguments, check=True, capture_output=True)
    assert "unencrypted key" in fault_of(
        {**GOOD, "certFile": str(certificate), "keyFile": str(key)}
    )
    METRIC_CONFIG.parse({**GOOD, "caFile": str(certificate)})

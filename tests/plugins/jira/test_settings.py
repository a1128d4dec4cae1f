"""The configuration: faults by name, never by value."""

from typing import Any

import pytest

from opsorch.errors import InvalidConfig
from opsorch_plugins.jira.provider import JiraTickets
from tests.plugins.jira.support import CONFIG, SITE, TOKEN

Json = dict[str, Any]


def settings_of(**config: Any) -> Json:
    settings: Json = JiraTickets({**CONFIG, **config}).settings
    return settings


def test_missing_fields_are_named_in_order() -> None:
    """All of them, blank ones too."""
    with pytest.raises(InvalidConfig) as invalid:
        JiraTickets({"apiToken": " ", "siteURL": "https://x.test"})
    assert invalid.value.message == (
        "jira config: missing required field(s): apiToken, email, apiURL, projectKey"
    )


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("apiURL", "odd-value", "field apiURL must be an absolute http(s) URL"),
        ("apiURL", "https://odd-value:secret@x.test", "field apiURL must be an absolute"),
        ("apiURL", "https://x.test/?odd-value", "field apiURL must be an absolute http(s) URL"),
        ("apiURL", "ftp://odd-value", "field apiURL must be an absolute http(s) URL"),
        ("siteURL", "odd-value", "field siteURL must be an absolute http(s) URL"),
        ("email", "odd-value", "field email is not a valid email address"),
        ("email", "odd@value@x", "field email is not a valid email address"),
        ("projectKey", "1odd-value", "field projectKey is not a valid project key"),
        ("projectKey", 'A" OR odd-value', "field projectKey is not a valid project key"),
        (
            "scopeFields",
            {"team": "odd-value"},
            "field scopeFields.team must be labels, component or cf[N]",
        ),
        ("scopeFields", {"odd-value": "labels"}, "field scopeFields may only have the keys"),
        ("scopeFields", "odd-value", "field scopeFields must be an object"),
        ("extraFields", ["odd,value"], "field extraFields must hold field ids"),
        ("extraFields", ["*all"], "field extraFields must hold field ids"),
        ("allowRawJQL", "odd-value", "field allowRawJQL must be true or false"),
        ("timeoutSeconds", 0.5, "field timeoutSeconds must be a number between 1 and 300"),
        ("timeoutSeconds", 301, "field timeoutSeconds must be a number between 1 and 300"),
        ("apiToken", 7, "field apiToken must be a string"),
        ("defaultIssueType", ["odd-value"], "field defaultIssueType must be a string"),
    ],
)
def test_a_fault_names_its_field_and_never_the_value(field: str, value: Any, fault: str) -> None:
    """Nor any other value."""
    with pytest.raises(InvalidConfig) as invalid:
        settings_of(**{field: value})
    assert fault in invalid.value.message
    assert "odd" not in invalid.value.message.replace("odd-value must be", "")
    assert TOKEN not in invalid.value.message


@pytest.mark.parametrize("url", [SITE, f"{SITE}/", f"{SITE}/rest/api/3", f" {SITE}/rest/api/3/ "])
def test_the_path_of_the_api_may_be_part_of_the_url(url: str) -> None:
    """It is stripped."""
    assert settings_of(apiURL=url)["apiURL"] == SITE


def test_other_names_and_defaults() -> None:
    """The documented name wins; text is trimmed, a project key is in capitals."""
    settings = JiraTickets(
        {"token": TOKEN, "user": "a@b.test", "baseUrl": SITE, "project": " ops ", "unknown": 1}
    ).settings
    assert (settings["apiURL"], settings["projectKey"]) == (SITE, "OPS")
    assert settings["apiToken"].reveal() == TOKEN
    assert (settings["defaultIssueType"], settings["source"]) == ("Task", "jira")
    assert settings["timeoutSeconds"] == 30
    assert settings_of(project="OTHER")["projectKey"] == "OPS"


def test_describe_holds_the_schema() -> None:
    """Without any value."""
    about = JiraTickets.describe()
    assert (about["name"], about["capability"]) == ("jira", "ticket")
    assert about["methods"] == ["ticket.create", "ticket.get", "ticket.query", "ticket.update"]
    assert about["config"]["required"] == ["apiToken", "email", "apiURL", "projectKey"]
    assert about["config"]["properties"]["apiToken"]["writeOnly"] is True
    assert set(about["config"]["properties"]["scopeFields"]["properties"]) == {
        "service",
        "team",
        "environment",
    }

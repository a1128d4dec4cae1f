"""The configuration: forms of the URL, faults, aliases, one object for all three."""

from typing import Any

import pytest
import requests_mock

from opsorch.errors import InvalidConfig
from opsorch.plugin import Call
from opsorch_plugins.github.provider import GitHubDeployments, GitHubTeams, GitHubTickets
from opsorch_plugins.github.settings import DEPLOYMENT_CONFIG, TEAM_CONFIG, TICKET_CONFIG
from tests.plugins.github.support import TOKEN

GOOD = {"token": TOKEN, "owner": "acme", "repo": "web"}
SPECS = [TICKET_CONFIG, DEPLOYMENT_CONFIG, TEAM_CONFIG]


def fault_of(spec: Any, config: dict[str, Any]) -> str:
    with pytest.raises(InvalidConfig) as refused:
        spec.parse(config)
    return refused.value.message


@pytest.mark.case("github", 20)
@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (TICKET_CONFIG, "token, owner, repo"),
        (DEPLOYMENT_CONFIG, "token, owner, repo"),
        (TEAM_CONFIG, "token, organization"),
    ],
)
def test_what_is_missing_is_named(spec: Any, names: str) -> None:
    """All of it, in one message; a blank is as good as nothing."""
    message = f"github config: missing required field(s): {names}"
    assert fault_of(spec, {}) == message
    assert fault_of(spec, dict.fromkeys(names.split(", "), "  ")) == message
    assert fault_of(spec, dict.fromkeys(names.split(", "))) == message


@pytest.mark.case("github", 20)
@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://ghe.example.com", "https://ghe.example.com/api/v3"),
        ("https://ghe.example.com/", "https://ghe.example.com/api/v3"),
        ("http://ghe.example.com:8443", "http://ghe.example.com:8443/api/v3"),
        ("https://ghe.example.com/api/v3/", "https://ghe.example.com/api/v3"),
        ("https://proxy.example.com/github", "https://proxy.example.com/github"),
        ("https://github.com", "https://api.github.com"),
        ("https://GitHub.com/", "https://api.github.com"),
        ("https://api.github.com/", "https://api.github.com"),
        ("https://api.acme.ghe.com", "https://api.acme.ghe.com"),
        (" ", "https://api.github.com"),
    ],
)
def test_each_form_of_the_url_leads_to_the_api(
    http: requests_mock.Mocker, call: Call, given: str, used: str
) -> None:
    """Enterprise Server has its API under a path; the others are hosts of their own."""
    http.get(f"{used}/repos/acme/web/issues", json=[])
    assert GitHubTickets({**GOOD, "apiURL": given}).query({}, call) == []
    assert http.call_count == 1


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"token": 12}, "field token must be a string"),
        ({"token": "odd token"}, "field token must be visible ASCII"),
        ({"owner": "odd/owner"}, "field owner must be a login"),
        ({"owner": ".."}, "field owner must be a login"),
        ({"repo": "odd/web/x"}, "field repo must be a repository name"),
        ({"repo": "acme/.."}, "field repo must be a repository name"),
        ({"repo": "../web"}, "field repo must be a repository name"),
        ({"repo": "web?odd"}, "field repo must be a repository name"),
        ({"repo": 7}, "field repo must be a repository name"),
        ({"repo": "odd/web"}, "field repo names another owner than field owner"),
        ({"apiURL": "odd"}, "field apiURL must be an absolute http(s) URL"),
        ({"apiURL": "https://u:odd@x"}, "field apiURL must be an absolute http(s) URL"),
        ({"apiURL": "https://x?odd"}, "field apiURL must be an absolute http(s) URL"),
        ({"defaultState": "odd"}, "field defaultState must be open or closed"),
        ({"defaultLabels": "odd"}, "field defaultLabels must be a list of strings"),
        ({"timeoutSeconds": 0}, "field timeoutSeconds must be a number between 1 and 300"),
    ],
)
def test_a_fault_names_its_field_and_never_the_value(config: dict[str, Any], fault: str) -> None:
    """Whoever reads the message knows what to mend, and learns no secret."""
    message = fault_of(TICKET_CONFIG, {**GOOD, **config})
    assert message.startswith(f"github config: {fault}")
    assert "odd" not in message


def test_all_faults_come_at_once() -> None:
    """One look at the message is enough."""
    config = {"repo": "a/b/c", "deploymentSource": "x", "environments": [], "workflows": 1}
    message = fault_of(DEPLOYMENT_CONFIG, config)
    for part in ("token, owner", "repo", "deploymentSource", "environments", "workflows"):
        assert part in message


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"owner": "acme", "repo": "web"}, ("acme", "web")),
        ({"owner": "acme", "repo": "ACME/web.git"}, ("acme", "web")),
        ({"repo": " acme/web "}, ("acme", "web")),
        ({"owner": " ", "repo": "acme/web.git"}, ("acme", "web")),
        ({"owner": "a.b_c", "repo": "git.git.git"}, ("a.b_c", "git.git")),
    ],
)
def test_the_repository_is_understood_as_people_write_it(
    config: dict[str, str], names: tuple[str, str]
) -> None:
    """With its owner, and as a clone address ends."""
    settings = TICKET_CONFIG.parse({"token": TOKEN, **config})
    assert (settings["owner"], settings["repo"]) == names


def test_one_object_serves_all_three(caplog: pytest.LogCaptureFixture) -> None:
    """The fields of one provider are no strangers to another."""
    blob = {**GOOD, "organization": "acme", "defaultState": "open", "memberDetails": False}
    for provider_class in (GitHubTickets, GitHubDeployments, GitHubTeams):
        provider_class(blob)
    assert [spec.unknown(blob) for spec in SPECS] == [[], [], []]
    assert [spec.unknown({**blob, "bogus": 1}) for spec in SPECS] == [["bogus"]] * 3


@pytest.mark.parametrize(
    ("spec", "alias", "name"),
    [
        (TICKET_CONFIG, "apiToken", "token"),
        (TICKET_CONFIG, "accessToken", "token"),
        (TEAM_CONFIG, "org", "organization"),
        (TICKET_CONFIG, "apiUrl", "apiURL"),
        (TICKET_CONFIG, "baseURL", "apiURL"),
        (TICKET_CONFIG, "baseUrl", "apiURL"),
    ],
)
def test_other_names_are_accepted_and_the_first_wins(spec: Any, alias: str, name: str) -> None:
    """As people know them from elsewhere."""
    value = "https://api.one.ghe.com" if name == "apiURL" else "one"
    config = {**GOOD, "organization": "acme"}
    config.pop(name, None)
    expected = spec.parse({**config, name: value})
    assert spec.parse({**config, alias: value}) == expected
    other = "https://api.two.ghe.com" if name == "apiURL" else "two"
    assert spec.parse({**config, name: value, alias: other}) == expected


def test_a_default_state_that_github_does_not_have_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was accepted once; now a line in the log says that it does nothing."""
    GitHubTickets({**GOOD, "defaultState": "Closed"})
    assert "defaultState closed is ignored" in caplog.text
    assert TOKEN not in caplog.text


def test_the_token_does_not_print() -> None:
    """Whatever shows the settings shows a mask."""
    assert TOKEN not in repr(TICKET_CONFIG.parse(GOOD))

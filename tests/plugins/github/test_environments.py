"""Names of environments: groups, and what a run tells of its own."""

import pytest

from opsorch_plugins.github import environments

ALIASES = [(alias, group) for group, names in environments.GROUPS.items() for alias in names]


@pytest.mark.parametrize(("alias", "group"), ALIASES)
def test_every_alias_shows_as_its_group(alias: str, group: str) -> None:
    """In any letter case."""
    assert environments.shown(alias.title()) == group
    assert environments.same(alias.upper(), group)


def test_other_names_stay_as_they_are() -> None:
    """And compare without regard to letter case."""
    assert environments.shown(" EU-West ") == "EU-West"
    assert environments.same("EU-West", "eu-west")
    assert not environments.same("eu", "eu-west")
    assert not environments.same("prod", "staging")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Deploy Production", "Production"),
        ("DeployProd", "Prod"),
        ("deploy_to_PRD", "PRD"),
        ("QATests", "QA"),
        ("release/stage-2", "stage"),
        ("Deploy (live)", "live"),
        ("PreProd deploy", "PreProd"),
        ("pre-prod", "preprod"),
        ("Pre production", "preprod"),
        ("pretest test", "test"),
        ("product-page", ""),
        ("latest", ""),
        ("device", ""),
        ("contest", ""),
        ("ünïprod", ""),
        ("prod2", ""),
        ("", ""),
    ],
)
def test_only_whole_words_name_an_environment(name: str, found: str) -> None:
    """Parts of words do not: a product page is no production."""
    assert environments.named_in(name) == found


@pytest.mark.parametrize(
    ("name", "path", "branch", "raw"),
    [
        ("Ship", ".github/workflows/ship.yml", "main", "Europe"),
        ("Other", ".github/workflows/ship.yml", "main", "file"),
        ("Other", "other.yml", "Release", "branch"),
        ("Deploy staging", "other.yml", "main", "staging"),
        ("Deploy", "other.yml", "qa/next", "qa"),
        ("Deploy", "other.yml", "master", "prod"),
        ("Deploy", "other.yml", "feature", ""),
        ("Deploy", "other.yml", "maintain", ""),
        ("Blank", "other.yml", "feature", ""),
    ],
)
def test_the_first_source_wins(name: str, path: str, branch: str, raw: str) -> None:
    """Configuration, then the workflow's name, then the branch."""
    configured = {"SHIP": "Europe", "ship.yml": "file", "release": "branch", "Blank": " "}
    assert environments.of_run(name, path, branch, configured) == raw

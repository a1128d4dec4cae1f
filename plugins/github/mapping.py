"""What GitHub sends, as tickets, teams and members: pure and total.

Source: https://docs.github.com/en/rest/issues/issues, .../rest/teams/teams, .../rest/teams/members,
.../rest/users/users (API version 2022-11-28)
"""

from collections.abc import Mapping
from typing import Any, Final

from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.vendor import as_list, as_object, as_text, known_time_in, objects_in, text_in

# Who wrote something whose account is gone.
GHOST: Final = "ghost"

# Role of a membership, as the contract's words.
# Source: https://docs.github.com/en/rest/teams/members, "List team members", parameter role
MEMBER_ROLES: Final[Mapping[str, str]] = {"maintainer": "owner", "member": "member"}

_PROFILE_KEYS: Final[Mapping[str, str]] = {
    "company": "company",
    "location": "location",
    "bio": "bio",
    "blog": "blog",
    "twitter": "twitter_username",
    "public_repos": "public_repos",
    "followers": "followers",
    "following": "following",
}


def number_in(item: Any, key: str) -> int | None:
    """Return a whole number of an object; None where there is none."""
    value = as_object(item).get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def numeric_id(item: Any, key: str = "id") -> str:
    """Return a number that identifies something, as text; "" where there is none."""
    number = number_in(item, key)
    return "" if number is None else str(number)


def login_of(user: Any) -> str:
    """Return a user's login; that of a deleted account is ``ghost``."""
    return text_in(user, "login") or GHOST


def labels_of(issue: Json) -> list[str]:
    """Return the names of an issue's labels, which are objects or strings."""
    names = (as_text(label) or text_in(label, "name") for label in as_list(issue.get("labels")))
    return [name for name in names if name]


def assignees_of(issue: Json) -> list[str]:
    """Return the logins of an issue's assignees."""
    return [login for user in objects_in(issue, "assignees") if (login := text_in(user, "login"))]


def ticket_of(issue: Json, settings: Mapping[str, Any]) -> Json:
    """Write an issue as a Ticket."""
    repository = f"{settings['owner']}/{settings['repo']}"
    number = numeric_id(issue, "number")
    fields = {
        "url": text_in(issue, "html_url"),
        "labels": labels_of(issue),
        "milestone": text_in(issue.get("milestone"), "title"),
        "state_reason": text_in(issue, "state_reason"),
        "comments": number_in(issue, "comments"),
        "closed_at": known_time_in(issue, "closed_at"),
        "type": text_in(issue.get("type"), "name"),
        "locked": issue.get("locked") if isinstance(issue.get("locked"), bool) else None,
    }
    metadata = {
        "source": settings["source"],
        "node_id": text_in(issue, "node_id"),
        "repository": repository,
        "author_association": text_in(issue, "author_association"),
    }
    return without_empty(
        {
            "id": number,
            "key": f"{repository}#{number}",
            "title": text_in(issue, "title"),
            "description": text_in(issue, "body"),
            "status": text_in(issue, "state"),
            "assignees": assignees_of(issue),
            "reporter": login_of(issue.get("user")),
            "url": text_in(issue, "html_url"),
            "createdAt": known_time_in(issue, "created_at"),
            "updatedAt": known_time_in(issue, "updated_at"),
            "fields": without_empty(fields),
            "metadata": without_empty(metadata),
        }
    )


def team_of(team: Json, settings: Mapping[str, Any]) -> Json:
    """Write a team as a Team."""
    parent = team.get("parent")
    tags = {
        "provider": "github",
        "privacy": text_in(team, "privacy"),
        "permission": text_in(team, "permission"),
        "organization": settings["organization"],
    }
    metadata = {
        "github_id": number_in(team, "id"),
        "slug": text_in(team, "slug"),
        "description": text_in(team, "description"),
        "privacy": text_in(team, "privacy"),
        "permission": text_in(team, "permission"),
        "html_url": text_in(team, "html_url"),
        "members_url": text_in(team, "members_url"),
        "repositories_url": text_in(team, "repositories_url"),
        "members_count": number_in(team, "members_count"),
        "repos_count": number_in(team, "repos_count"),
        "source": settings["source"],
    }
    return without_empty(
        {
            "id": text_in(team, "slug") or numeric_id(team),
            "name": text_in(team, "name"),
            "parent": text_in(parent, "slug") or numeric_id(parent),
            "url": text_in(team, "html_url"),
            "tags": without_empty(tags),
            "metadata": without_empty(metadata),
        }
    )


def member_of(user: Json, role: str, profile: Json | None) -> Json:
    """Write a member of a team as a TeamMember.

    Args:
        user: The entry of the list of members.
        role: GitHub's word for the role.
        profile: The user's own page, or None where it could not be had.
    """
    details = profile or {}
    login = text_in(user, "login")
    metadata = {
        "github_id": number_in(user, "id"),
        "avatar_url": text_in(user, "avatar_url"),
        "html_url": text_in(user, "html_url"),
        "site_admin": user.get("site_admin") if isinstance(user.get("site_admin"), bool) else None,
        "type": text_in(user, "type"),
        **{name: details.get(key) for name, key in _PROFILE_KEYS.items()},
    }
    return without_empty(
        {
            "id": login,
            "name": text_in(details, "name") or login,
            "email": text_in(details, "email"),
            "handle": login,
            "role": MEMBER_ROLES[role],
            "metadata": without_empty(metadata),
        }
    )

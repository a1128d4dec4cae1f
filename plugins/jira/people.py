"""From email addresses to account ids."""

from collections.abc import Iterable

from opsorch.errors import BadRequest
from opsorch.plugin import Call
from opsorch.plugin.payload import Json
from opsorch_plugins.jira.client import Jira


class People:
    """Looks people up for one call, each once. Values without ``@`` are taken as they are."""

    def __init__(self, jira: Jira, call: Call) -> None:
        self._jira = jira
        self._call = call
        self._found: dict[str, str | None] = {}

    def id_of(self, person: str) -> str | None:
        """Return the account id of a person; None where an address belongs to nobody known.

        Profiles may hide the address: then the only active user that the search finds counts.
        """
        if "@" not in person:
            return person
        if person not in self._found:
            self._found[person] = _only(person, self._jira.users(person, self._call))
        return self._found[person]

    def known(self, people: Iterable[str]) -> list[str]:
        """Return the account ids of those who are known."""
        return [found for person in people if (found := self.id_of(person))]

    def required(self, person: str, field: str) -> str:
        """Return the account id of a person.

        Raises:
            BadRequest: There is none; names the field.
        """
        found = self.id_of(person)
        if not found:
            raise BadRequest(
                f"{field}: no single active Jira user has this email address (profiles may hide"
                " it); use the account id"
            )
        return found


def _only(address: str, users: Iterable[Json]) -> str | None:
    active = [
        user
        for user in users
        if user.get("active") is True and isinstance(user.get("accountId"), str)
    ]
    wanted = address.strip().casefold()
    same = [u for u in active if str(u.get("emailAddress") or "").casefold() == wanted]
    candidates = same or active
    return candidates[0]["accountId"] if len(candidates) == 1 else None

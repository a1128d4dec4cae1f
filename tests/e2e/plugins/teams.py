"""A plugin in Python with the SDK."""

from typing import Any

from opsorch.plugin import Call, ConfigSpec, Field, NotFound, Provider, rpc


class Teams(Provider):
    """Two teams."""

    name = "acme"
    capability = "team"
    config = ConfigSpec("acme", (Field("prefix", required=True),))

    @rpc("team.query")
    def query(self, payload: dict[str, Any], call: Call) -> list[dict[str, Any]]:
        """List the teams."""
        return [{"id": f"{self.settings['prefix']}-{n}", "name": f"Team {n}"} for n in (1, 2)]

    @rpc("team.get")
    def get(self, payload: dict[str, Any], call: Call) -> dict[str, Any]:
        """Find no team."""
        raise NotFound(f"team {payload['id']} not found")


if __name__ == "__main__":
    Teams.serve()

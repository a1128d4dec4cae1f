"""The provider classes, where entry points and the plugin launcher look for them."""

from opsorch_plugins.github.deployments import GitHubDeployments
from opsorch_plugins.github.teams import GitHubTeams
from opsorch_plugins.github.tickets import GitHubTickets

__all__ = ["GitHubDeployments", "GitHubTeams", "GitHubTickets"]

"""The provider class of this adapter."""

from opsorch_plugins.jira.tickets import JiraTickets

__all__ = ["JiraTickets"]

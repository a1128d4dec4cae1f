"""Jira Cloud as ticket provider."""

"""Slack as messaging provider."""

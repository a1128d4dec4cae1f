"""The provider class, where entry points and the plugin launcher look for it."""

from opsorch_plugins.slack.messaging import SlackMessaging

__all__ = ["SlackMessaging"]

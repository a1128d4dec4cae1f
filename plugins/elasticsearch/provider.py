"""The provider class, where entry points and the plugin launcher look for it."""

from opsorch_plugins.elasticsearch.logs import ElasticsearchLogs

__all__ = ["ElasticsearchLogs"]

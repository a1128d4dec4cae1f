"""Links that people can open."""

import logging
import threading
from typing import Final

from opsorch.errors import OpsOrchError
from opsorch.plugin import Call
from opsorch.plugin.urls import url_part
from opsorch_plugins.jira.client import Jira
from opsorch_plugins.jira.settings import Settings, is_gateway

log = logging.getLogger("opsorch.plugin")

# A link is worth a short wait, not the answer.
_LOOK_UP_S: Final = 5.0


class Site:
    """The site's address for browsers. Thread-safe."""

    def __init__(self, settings: Settings, jira: Jira) -> None:
        self._jira = jira
        self._lock = threading.Lock()
        api_url = settings["apiURL"]
        self._address: str | None = settings["siteURL"] or (
            None if is_gateway(api_url) else api_url
        )

    def address(self, call: Call) -> str:
        """Return the address; "" where the gateway could not be asked, and it is asked again."""
        with self._lock:
            known = self._address
        if known is not None:
            return known
        try:
            short = call.within(_LOOK_UP_S)
            found = self._jira.server_info(short).get("baseUrl")
        except OpsOrchError as error:
            log.warning("jira: no links, the site's address cannot be read: %s", error.message)
            return ""
        if not isinstance(found, str) or not found.startswith(("http://", "https://")):
            return ""
        with self._lock:
            self._address = found.rstrip("/")
            return self._address

    def link(self, address: str, key: str) -> str:
        """Return the page of an issue, "" where the address is not known."""
        return f"{address}/browse/{url_part(key)}" if address else ""

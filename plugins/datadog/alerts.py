"""The alert provider: Datadog's monitors."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from opsorch.errors import NotFound
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.payload import Json, id_of
from opsorch.plugin.times import now
from opsorch_plugins.datadog.alert_filter import filter_of
from opsorch_plugins.datadog.alert_mapping import AlertReading, alert_of, order_of
from opsorch_plugins.datadog.checks import checked
from opsorch_plugins.datadog.client import Datadog
from opsorch_plugins.datadog.settings import CONFIG, app_url, tag_keys

# Source: https://docs.datadoghq.com/api/latest/monitors/#get-all-monitors (page_size counts only
# together with page; group_states adds the groups' states and leaves out no monitor).
PAGE: Final = 1000
MAX_PAGES: Final = 10
_PATH: Final = "/api/v1/monitor"
_DETAIL: Final = (("group_states", "alert,warn,no data"), ("with_downtimes", "true"))
_ALL_DETAIL: Final = (("group_states", "all"), ("with_downtimes", "true"))
_ID = re.compile(r"[0-9]{1,19}")


class DatadogAlerts(Provider):
    """Monitors, each as one alert."""

    name = "datadog"
    capability = "alert"
    config: ClassVar[ConfigSpec] = CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.datadog = Datadog(self.settings, self.redact, reads="monitors_read")
        self._keys = tag_keys(self.settings)

    @rpc("alert.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer an AlertQuery, the worst and newest first.

        Raises:
            BadRequest: A word does not fit.
        """
        asked = filter_of(payload, self._keys, self.settings["maxResults"])
        reading = self._reading()

        def page(number: int, _: int) -> list[Any]:
            place = (("page", str(number)), ("page_size", str(PAGE)))
            return self.datadog.get_list(_PATH, call, (*asked.params, *_DETAIL, *place))

        monitors = self.datadog.pages(page, call, size=PAGE, most=MAX_PAGES)
        wanted = [raw for raw in monitors if asked.fits(raw, reading.now_s)]
        return [alert_of(raw, reading) for raw in sorted(wanted, key=order_of)[: asked.limit]]

    @rpc("alert.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Answer the alert of a monitor's id.

        Raises:
            NotFound: Datadog has no such monitor.
        """
        wanted = id_of(payload)
        if not _ID.fullmatch(wanted):
            raise NotFound("Datadog has no such monitor: its id is a number")
        raw = self.datadog.get(f"{_PATH}/{wanted}", call, _ALL_DETAIL, wanted=f"monitor {wanted}")
        return alert_of(raw, self._reading())

    def check(self, call: Call) -> list[Check]:
        """Look at the API key, then for one monitor."""
        place = (("page", "0"), ("page_size", "1"))
        look = ("monitors_read", lambda: self.datadog.get_list(_PATH, call, place))
        return checked(self.datadog, call, [look])

    def _reading(self) -> AlertReading:
        settings = self.settings
        moment = now().timestamp()
        return AlertReading(settings["source"], app_url(settings), self._keys["service"], moment)

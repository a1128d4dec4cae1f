"""The providers of logs and metrics; what they answer is computed in ``logs`` and ``metrics``."""

from opsorch.plugin import Call, Check, rpc
from opsorch_plugins.demo import logs, metrics
from opsorch_plugins.demo.base import DemoProvider
from opsorch_plugins.demo.matching import Json


class DemoLogs(DemoProvider):
    """Logs of the demo world."""

    capability = "log"

    @rpc("log.query")
    def query(self, payload: Json, call: Call) -> Json:
        """List log entries, the newest first."""
        with self.reading(call) as view:
            world = view.world
        return logs.query(payload, world, call.deadline)

    def check(self, call: Call) -> list[Check]:
        with self.reading(call) as view:
            world = view.world
        found = len(logs.query({}, world)["entries"])
        return [
            Check("demo world", ok=True, message=f"{found} entries of the last hour, at most 100")
        ]


class DemoMetrics(DemoProvider):
    """Metrics of the demo world."""

    capability = "metric"

    @rpc("metric.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Return series of one metric."""
        with self.reading(call) as view:
            world = view.world
        return metrics.query(payload, world, call.deadline)

    @rpc("metric.describe")
    def describe_metrics(self, payload: Json, call: Call) -> list[Json]:
        """Describe the metrics of a scope."""
        with self.reading(call) as view:
            world = view.world
        return metrics.describe(payload, world)

    def check(self, call: Call) -> list[Check]:
        with self.reading(call) as view:
            world = view.world
        message = f"{len(metrics.describe({}, world))} metrics"
        return [Check("demo world", ok=True, message=message)]

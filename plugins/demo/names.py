"""Names of metrics, and labels of single series, that alerts and effects have in common."""

from typing import Final

from opsorch_plugins.demo.records import Labels

DURATION: Final = "http_request_duration_seconds"
ERRORS: Final = "http_errors_ratio"
BUDGET: Final = "slo_error_budget_remaining_ratio"
EXTERNAL: Final = "external_request_duration_seconds"

P95: Labels = (("quantile", "0.95"),)
P99: Labels = (("quantile", "0.99"),)
STRIPE: Labels = (("provider", "stripe"),)
PRIMARY: Labels = (("database", "primary"),)
EVENTS: Labels = (("topic", "notification-events"),)
ROLLUP: Labels = (("job", "nightly-rollup"),)
APAC: Labels = (("region", "apac"),)
RATES: Labels = (("cache", "rates"),)
SAFARI: Labels = (("browser", "safari"),)
RANKER: Labels = (("model", "ranker"),)
RECOMMENDATION: Labels = (("downstream", "svc-recommendation"),)
SEARCH_0: Labels = (("instance", "search-0"),)
LOGGING_0: Labels = (("instance", "logging-0"),)
DOMAIN: Labels = (("domain", "api.demo.example"),)

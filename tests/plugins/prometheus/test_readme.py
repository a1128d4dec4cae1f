"""The README: its table of cases names the tests that prove them, its settings are all there."""

import pytest

from opsorch_plugins.prometheus.provider import PrometheusAlerts, PrometheusMetrics
from tests.plugins.support import every_case_is_proved, readme_of


def test_every_case_is_proved_and_the_readme_says_where() -> None:
    """No number is missing, and the table names the marked tests and no others."""
    every_case_is_proved("prometheus", count=20)


@pytest.mark.parametrize("provider", [PrometheusMetrics, PrometheusAlerts])
def test_every_setting_is_documented(provider: type[PrometheusMetrics | PrometheusAlerts]) -> None:
    """With its other names."""
    text = readme_of("prometheus")
    for field in provider.config.fields:
        for name in (field.name, *field.aliases):
            assert f"`{name}`" in text, name

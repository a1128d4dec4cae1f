"""Prometheus as metric provider, Alertmanager as alert provider."""

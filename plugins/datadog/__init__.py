"""The Datadog adapter: metrics, logs, alerts (monitors), incidents and services."""

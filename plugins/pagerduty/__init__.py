"""PagerDuty as incident and service provider."""

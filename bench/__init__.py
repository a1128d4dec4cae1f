"""Measurements of the gateway; ``python -m bench`` runs them all. See docs/performance.md."""

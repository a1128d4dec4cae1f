"""Structured logs, redaction, metrics."""

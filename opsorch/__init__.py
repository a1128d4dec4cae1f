"""OpsOrch for Python: one REST API over the tools that on-call teams already run."""

__version__ = "0.1.0"

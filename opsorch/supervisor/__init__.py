"""Plugin processes: pools of them, under one deadline a call, replaced when they fail.

Knows nothing of HTTP, capabilities or vendors. ``docs/supervision.md`` follows one call through it.
"""

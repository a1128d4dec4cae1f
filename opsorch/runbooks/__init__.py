"""Plans and runs: the engine behind orchestration adapters."""

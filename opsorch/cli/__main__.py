"""Run the command as ``python -m opsorch.cli``."""

from opsorch.cli import main

main(prog_name="opsorch")

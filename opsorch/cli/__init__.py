"""The ``opsorch`` command."""

import click

from opsorch import __version__
from opsorch.cli.demo import demo
from opsorch.cli.serve import serve


@click.group()
@click.version_option(__version__, prog_name="opsorch")
def main() -> None:
    """OpsOrch: one REST API over the tools that on-call teams already run."""


main.add_command(serve)
main.add_command(demo)

"""``opsorch serve``: run the gateway."""

from pathlib import Path

import click

from opsorch.config import ENV_FILE, Settings, SettingsError, read_environ


@click.command()
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=ENV_FILE,
    show_default=True,
    help="File of OPSORCH_* variables; a real variable wins.",
)
@click.option("--check", is_flag=True, help="Check the settings, say what is wrong, and leave.")
def serve(env_file: Path, *, check: bool) -> None:
    """Run the gateway until it is told to stop.

    Settings come from OPSORCH_* variables and from the env file. SIGHUP reads them anew, SIGTERM
    finishes the calls under way.
    """
    import os

    env_file = env_file.absolute()

    def settings() -> Settings:
        return Settings.from_env(read_environ(os.environ, env_file))

    try:
        if check:
            _report(settings())
            return
        from opsorch.gateway.server import Server

        server = Server(settings)
    except SettingsError as fault:
        raise click.ClickException(f"The settings cannot be used: {fault}.") from fault
    server.start()


def _report(settings: Settings) -> None:
    for name, one in settings.capabilities.items():
        what = one.fault or one.plugin or one.provider or "not configured"
        click.echo(f"{name:<14} {what}")
    for name in settings.unknown:
        click.echo(f"unknown variable: {name}", err=True)

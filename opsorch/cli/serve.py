"""``opsorch serve``: run the gateway."""

from pathlib import Path

import click

from opsorch.config import ENV_FILE, Settings, SettingsError, read_environ


@click.command()
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"File of OPSORCH_* variables; a real variable wins. Default: {ENV_FILE}, if it is there.",
)
@click.option("--check", is_flag=True, help="Check the settings, say what is wrong, and leave.")
def serve(env_file: Path | None, *, check: bool) -> None:
    """Run the gateway until it is told to stop.

    Settings come from OPSORCH_* variables and from the env file. SIGHUP reads them anew, SIGTERM
    finishes the calls under way.
    """
    import os

    file = (env_file or Path(ENV_FILE)).absolute()

    def settings() -> Settings:
        return Settings.from_env(read_environ(os.environ, file, needed=env_file is not None))

    try:
        if check:
            if not _report(settings()):
                raise SystemExit(1)
            return
        from opsorch.gateway.server import Server

        server = Server(settings)
    except SettingsError as fault:
        raise click.ClickException(f"The settings cannot be used: {fault}.") from fault
    server.start()


def _report(settings: Settings) -> bool:
    """Say what answers for each capability; tell whether all that is configured can."""
    from opsorch.providers.registry import fault_of

    faults = {name: fault_of(settings, name) for name in settings.capabilities}
    for name, one in settings.capabilities.items():
        what = f"OFF: {faults[name]}" if faults[name] else one.plugin or one.provider
        click.echo(f"{name:<14} {what or 'not configured'}")
    for name in settings.unknown:
        click.echo(f"unknown variable: {name}", err=True)
    if settings.secret_settings:
        click.echo("OPSORCH_SECRET_*: secret providers are not supported yet", err=True)
    return not any(faults.values())

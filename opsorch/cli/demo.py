"""``opsorch demo``: the demo world."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from opsorch.config import ENV_FILE, Settings, SettingsError, read_environ
from opsorch.errors import OpsOrchError


@click.group()
def demo() -> None:
    """Look after the demo world."""


@demo.command()
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"File of OPSORCH_* variables; a real variable wins. Default: {ENV_FILE}, if it is there.",
)
@click.confirmation_option(prompt="Forget everything that was written into the demo world?")
def reset(env_file: Path | None) -> None:
    """Forget what was written into the demo world; its story begins anew at the next call."""
    from opsorch_plugins.demo.settings import DEMO_CONFIG, DemoSettings
    from opsorch_plugins.demo.state import reset as reset_world

    try:
        settings = Settings.from_env(_environ(env_file))
        config = {"dataDir": str(settings.data_dir), **_config_of_demo(settings)}
        world = DemoSettings.of(DEMO_CONFIG.parse(config))
        reset_world(world)
    except SettingsError as fault:
        raise click.ClickException(f"The settings cannot be used: {fault}.") from fault
    except OpsOrchError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"The demo world in {world.data_dir} begins anew.")


def _environ(env_file: Path | None) -> dict[str, str]:
    return read_environ(os.environ, env_file or Path(ENV_FILE), needed=env_file is not None)


def _config_of_demo(settings: Settings) -> Mapping[str, Any]:
    """Return the configuration of the first capability that the demo provider answers for."""
    for one in settings.capabilities.values():
        if (one.plugin or one.provider).removeprefix("bundled:") in ("demo", "mock"):
            return one.config
    return {}

"""Settings: every OPSORCH_* variable, parsed and checked in one place.

``rows`` is the table; ``reader`` reads it. A value that does not parse stops the start; a fault in
one capability's own configuration turns that capability off. Nothing else reads os.environ.
"""

from opsorch.config.reader import (
    ENV_FILE,
    CapabilitySettings,
    Settings,
    SettingsError,
    default_data_dir,
    known_variables,
    read_environ,
    variable_of,
)
from opsorch.config.rows import CAPABILITY_SETTINGS, PLUGIN_SETTINGS, SETTINGS, Setting

__all__ = [
    "CAPABILITY_SETTINGS",
    "ENV_FILE",
    "PLUGIN_SETTINGS",
    "SETTINGS",
    "CapabilitySettings",
    "Setting",
    "Settings",
    "SettingsError",
    "default_data_dir",
    "known_variables",
    "read_environ",
    "variable_of",
]

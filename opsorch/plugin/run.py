"""Run one provider class as a plugin: ``python -m opsorch.plugin.run MODULE:CLASS``."""

import importlib
import operator
import sys


def main() -> None:
    """Load the class that the only argument names and serve it."""
    module_name, colon, attribute = "".join(sys.argv[1:2]).partition(":")
    if len(sys.argv) != 2 or not (module_name and colon and attribute):
        sys.exit("Say which provider class to run: python -m opsorch.plugin.run MODULE:CLASS")
    operator.attrgetter(attribute)(importlib.import_module(module_name)).serve()


if __name__ == "__main__":
    main()

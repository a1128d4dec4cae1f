"""The code that makes the generated pages, which is no package: loaded as `make generate` does."""

import importlib
import sys
from types import ModuleType
from typing import Any

from tests.harness import ROOT


def page_maker(name: str) -> ModuleType:
    """Import one of the modules in docs/, whose own folder is first on the path as in a script."""
    folder = str(ROOT / "docs")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


def generated_files() -> dict[str, str]:
    """The text of every generated file by its path."""
    files: dict[str, str] = page_maker("generate").files()
    return files


def vocabularies() -> tuple[Any, ...]:
    """The vocabularies of docs/severities.md."""
    found: tuple[Any, ...] = page_maker("vocabularies").vocabularies()
    return found

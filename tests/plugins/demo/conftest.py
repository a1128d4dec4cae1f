"""Fixtures of the demo tests."""

import shutil

import pytest

from opsorch_plugins.demo.state import forget_states
from tests.plugins.demo.support import Demo, forgetting

closed_databases = pytest.fixture(autouse=True, name="closed_databases")(forgetting)


@pytest.fixture(scope="session")
def seeded_folder(tmp_path_factory):
    """A folder that was seeded and closed; seeding takes longer than most tests."""
    folder = tmp_path_factory.mktemp("seeded") / "data"
    Demo(folder).call("incident.query")
    forget_states()
    return folder


@pytest.fixture
def demo(seeded_folder, tmp_path):
    """A freshly seeded world at its anchor."""
    shutil.copytree(seeded_folder, tmp_path / "data")
    return Demo(tmp_path / "data")

"""Fixtures of the runbook tests."""

import pytest

from tests.runbooks.support import Runs


@pytest.fixture
def runs(tmp_path):
    """Runs on a new database."""
    here = Runs(tmp_path / "state" / "state.db")
    yield here
    here.close()

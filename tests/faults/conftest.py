"""The fixture of the fault tests."""

from tests.faults.support import rig

__all__ = ["rig"]

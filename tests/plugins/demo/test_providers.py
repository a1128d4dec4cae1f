"""All ten classes: they describe themselves, check the world, and bear the fields of old mocks."""

import logging

import pytest

from opsorch.plugin import Call
from opsorch.plugin.provider import Dispatcher
from tests.plugins.demo.support import ANCHOR, CLASSES, text

each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.capability)


def test_there_is_one_class_a_capability():
    capabilities = {cls.capability for cls in CLASSES}
    assert len(CLASSES) == len(capabilities) == 10


@each_class
def test_each_class_describes_itself(cls):
    described = Dispatcher(cls).call("plugin.describe", {}, None, Call())
    assert (described["name"], described["capability"]) == ("demo", cls.capability)
    assert f"{cls.capability}." in described["methods"][0]
    assert set(described["config"]["properties"]) >= {"dataDir", "anchor", "seed", "stepSeconds"}


@each_class
def test_each_class_checks_the_world(cls, tmp_path):
    config = {"dataDir": str(tmp_path / "data"), "anchor": text(ANCHOR)}
    found = Dispatcher(cls).call("plugin.check", config, None, Call())
    assert found["ok"], found
    assert found["checks"][1]["message"], "it says what it found"


@each_class
def test_a_folder_that_cannot_be_is_told_by_its_field(cls, tmp_path):
    (tmp_path / "file").write_text("no folder")
    config = {"dataDir": str(tmp_path / "file" / "data")}
    found = Dispatcher(cls).call("plugin.check", config, None, Call())
    assert not found["ok"]
    (check,) = found["checks"]
    assert check["name"] == "configuration"
    assert "dataDir" in check["message"]


@each_class
def test_fields_of_the_mocks_are_ignored_with_a_warning(cls, tmp_path, caplog):
    old = {"defaultLimit": 20, "defaultSeverity": "sev4", "provider": "mock", "step_duration": 3}
    config = {"dataDir": str(tmp_path / "data"), **old}
    with caplog.at_level(logging.WARNING, "opsorch.plugin"):
        assert Dispatcher(cls).call("plugin.check", config, None, Call())["ok"]
    (record,) = (r for r in caplog.records if "unknown field" in r.getMessage())
    assert all(name in record.getMessage() for name in old)

"""A folder of plan files: which count, what is wrong with the others, when they are read."""

import logging
import os

import pytest

from opsorch.errors import InvalidConfig, NotFound, ProviderError
from opsorch.runbooks import folder as folder_module
from opsorch.runbooks.folder import PlanFolder
from tests.runbooks.support import plan_text

GOOD = plan_text("- {id: a, title: A}")
BAD = {
    "dangling.yaml": plan_text("- {id: a, title: A, dependsOn: [zzz]}"),
    "cycle.yaml": plan_text("- {id: a, title: A, dependsOn: [a]}"),
    "twice.yaml": plan_text("- {id: a, title: A}\n- {id: a, title: A}"),
    "unknown.yaml": plan_text("- {id: a, title: A, dependson: [a]}"),
    "large.yaml": GOOD + b"#" * 1024 * 1024,
    "broken.yml": b"title: [\n",
}


@pytest.fixture
def place(tmp_path):
    """An empty folder for plans, and one beside it."""
    (tmp_path / "plans").mkdir()
    return tmp_path / "plans"


def ids(folder: PlanFolder) -> list[str]:
    return [plan.id for plan in folder.plans()]


@pytest.mark.case("orchestration", 12)
def test_bad_files_are_reported_and_good_ones_still_listed(place, caplog):
    for name, content in {**BAD, "good.yaml": GOOD, "also.yml": GOOD}.items():
        (place / name).write_bytes(content)
    folder = PlanFolder(place)
    assert ids(folder) == ["also", "good"]
    problems = folder.problems()
    assert len(problems) == len(BAD)
    for name, words in {
        "dangling.yaml": "no step of this plan",
        "cycle.yaml": "cycle: a -> a",
        "twice.yaml": "the id stands in line 7 already",
        "unknown.yaml": "unknown key 'dependson'",
        "large.yaml": "larger than 256 KiB",
        "broken.yml": "line 2: no YAML",
    }.items():
        (problem,) = [text for text in problems if name in text]
        assert words in problem
        stem = name.split(".")[0]
        with pytest.raises(InvalidConfig) as caught:
            folder.plan(stem)
        assert caught.value.message == problem
        assert str(place) not in problem
    assert len(caplog.records) == len(BAD), "one warning a file, not one a call"


@pytest.mark.case("orchestration", 14)
def test_a_plan_is_found_by_its_id_whatever_its_file_is_called(place, caplog):
    (place / "file.yaml").write_bytes(b"id: another\n" + GOOD)
    (place / "short.yml").write_bytes(GOOD)
    (place / "one.yaml").write_bytes(b"id: same\n" + GOOD)
    (place / "two.yaml").write_bytes(b"id: same\n" + GOOD)
    folder = PlanFolder(place)
    assert ids(folder) == ["another", "short"]
    assert folder.plan("another").origin == {"file": "file.yaml"}
    assert folder.plan("short").id == "short"
    with pytest.raises(NotFound, match=r"^plan file not found$"):
        folder.plan("file")
    text = "plan same stands in several files, so none of them counts: one.yaml, two.yaml"
    with pytest.raises(InvalidConfig, match=text):
        folder.plan("same")
    assert folder.problems() == [text]
    assert [record.getMessage() for record in caplog.records] == [text]
    (place / "two.yaml").unlink()
    assert ids(folder) == ["another", "same", "short"]
    assert folder.problems() == []


@pytest.mark.case("orchestration", 5)
def test_an_unknown_plan_is_not_found(place):
    with pytest.raises(NotFound, match=r"^plan x not found$"):
        PlanFolder(place).plan("x")


def test_hidden_files_others_and_links_out_of_the_folder_do_not_count(place):
    outside = place.parent / "outside.yaml"
    outside.write_bytes(GOOD)
    (place / "link.yaml").symlink_to(outside)
    (place / "nowhere.yaml").symlink_to(place.parent / "missing.yaml")
    (place / ".hidden.yaml").write_bytes(GOOD)
    (place / "notes.txt").write_bytes(GOOD)
    (place / "sub.yaml").mkdir()
    os.mkfifo(place / "pipe.yaml")
    (place / "real.yaml").write_bytes(GOOD)
    (place / "inner.yaml").symlink_to("real.yaml")
    assert ids(PlanFolder(place)) == ["inner", "real"]


def test_a_file_is_read_again_only_when_it_changed(place, monkeypatch):
    read = []

    def parse(source, file):
        read.append(file)
        return real(source, file)

    real = folder_module.parse_plan
    monkeypatch.setattr(folder_module, "parse_plan", parse)
    (place / "a.yaml").write_bytes(GOOD)
    (place / "b.yaml").write_bytes(GOOD)
    folder = PlanFolder(place)
    assert ids(folder) == ids(folder) == ["a", "b"]
    assert read == ["a.yaml", "b.yaml"]
    (place / "a.yaml").write_bytes(GOOD.replace(b"title: T\n", b"title: Other\n"))
    assert folder.plan("a").title == "Other"
    assert read == ["a.yaml", "b.yaml", "a.yaml"]
    (place / "a.yaml").unlink()
    assert ids(folder) == ["b"]


def test_a_mended_file_counts_and_a_newly_broken_one_warns(place, caplog):
    caplog.set_level(logging.WARNING)
    (place / "a.yaml").write_bytes(b"title: [\n")
    folder = PlanFolder(place)
    assert ids(folder) == []
    (place / "a.yaml").write_bytes(GOOD)
    assert ids(folder) == ["a"]
    (place / "a.yaml").write_bytes(b"steps: 1\n")
    assert ids(folder) == []
    assert len(caplog.records) == 2


def test_a_file_that_vanishes_or_cannot_be_read_is_a_problem_of_its_own(place, monkeypatch):
    (place / "a.yaml").write_bytes(GOOD)
    (place / "b.yaml").write_bytes(GOOD)
    folder = PlanFolder(place)
    listed = list(folder._files())
    (place / "a.yaml").unlink()
    monkeypatch.setattr(folder, "_files", lambda: iter(listed))
    assert ids(folder) == ["b"]
    assert folder.problems() == ["plan file a.yaml: cannot be read (No such file or directory)"]


def test_a_missing_folder_is_a_failure_without_its_path(place):
    with pytest.raises(ProviderError) as caught:
        PlanFolder(place / "missing").plans()
    assert caught.value.message == "the plan folder cannot be read (No such file or directory)"

"""The one vocabulary of severities."""

from opsorch.plugin.severity import SEVERITIES, SPELLINGS, classes_of, with_own


def test_the_mildest_severity_is_first() -> None:
    """Six words, and each is a spelling of itself."""
    assert SEVERITIES == ("trace", "debug", "info", "warning", "error", "critical")
    assert all(SPELLINGS[name][0] == name for name in SEVERITIES)


def test_no_spelling_means_two_severities() -> None:
    """Else a filter would find what is shown as something else."""
    assert len(classes_of(SPELLINGS)) == sum(map(len, SPELLINGS.values()))
    assert classes_of(SPELLINGS)["warn"] == "warning"


def test_a_vendor_adds_its_own_words() -> None:
    """They stand behind the common ones; the other severities keep theirs."""
    spellings = with_own({"trace": ("finest",)})
    assert spellings["trace"] == ("trace", "verbose", "finest")
    assert spellings["error"] == SPELLINGS["error"]
    assert list(spellings) == list(SPELLINGS)
    assert classes_of(spellings)["finest"] == "trace"

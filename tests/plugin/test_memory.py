"""What is remembered, how long, and how much of it."""

from opsorch.plugin.memory import Memory


def test_a_value_is_kept_for_a_while() -> None:
    """From when it was put, anew with each time."""
    now = [0.0]
    memory = Memory[str, int](10.0, 5, clock=lambda: now[0])
    assert memory.get("a") is None
    memory.put("a", 1)
    now[0] = 9.9
    assert memory.get("a") == 1
    memory.put("a", 2)
    now[0] = 19.8
    assert memory.get("a") == 2
    now[0] = 19.9
    assert memory.get("a") is None


def test_the_oldest_leave() -> None:
    """Where there are too many; what was put again is new."""
    memory = Memory[str, int](10.0, 2, clock=lambda: 0.0)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        memory.put(key, value)
    assert len(memory) == 2
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (3, None, 4)


def test_a_value_can_be_forgotten() -> None:
    """One that is not there, too."""
    memory = Memory[str, int](10.0, 2)
    memory.put("a", 1)
    memory.forget("a")
    memory.forget("a")
    assert memory.get("a") is None
    assert len(memory) == 0

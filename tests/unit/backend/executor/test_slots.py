"""Who may run now."""

import doctest

import pytest

from hydraflyte.backend.executor import slots
from hydraflyte.backend.executor.slots import SlotQueue


def test_the_example_in_the_documentation_is_true():
    assert doctest.testmod(slots).failed == 0


def test_no_more_entries_run_than_there_are_slots():
    queue = SlotQueue(slots=2)
    for key in "abc":
        queue.push(key, key.upper())

    first = queue.take()
    queue.release("a")
    second = queue.take()

    assert first == [("a", "A"), ("b", "B")]
    assert second == [("c", "C")]


def test_an_entry_without_need_for_a_slot_overtakes_and_takes_none():
    queue = SlotQueue(slots=1)
    queue.push("a", "A")
    queue.push("b", "B")
    queue.push("eager", "E", needs_slot=False)

    assert queue.take() == [("a", "A"), ("eager", "E")]

    queue.release("a")
    assert queue.take() == [("b", "B")]


def test_a_key_that_waits_or_runs_is_not_queued_again():
    queue = SlotQueue(slots=1)
    queue.push("a", "first")
    queue.push("a", "second")

    assert queue.take() == [("a", "first")]

    queue.push("a", "third")
    queue.release("a")
    assert queue.take() == []


def test_a_dropped_entry_never_runs_and_a_running_one_is_not_dropped():
    queue = SlotQueue(slots=1)
    queue.push("a", "A")
    queue.push("b", "B")
    queue.take()

    assert queue.drop("b")
    assert not queue.drop("a")
    queue.release("a")
    assert queue.take() == []


def test_releasing_what_does_not_run_frees_nothing():
    queue = SlotQueue(slots=1)
    queue.push("a", "A")
    queue.push("b", "B")
    queue.take()

    queue.release("b")
    queue.release("unknown")

    assert queue.take() == []


def test_without_a_slot_nothing_could_ever_run():
    with pytest.raises(ValueError, match="at least one slot"):
        SlotQueue(slots=0)

"""Who may run now, and with which devices."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydraflyte.backend.executor import budget
from hydraflyte.backend.executor.budget import BudgetQueue, DevicePool
from hydraflyte.backend.executor.demands import Demand

GIB = 1 << 30


def demand(*, cpus=1.0, memory=0, gpus=0):
    return Demand(cpu_millis=int(cpus * 1000), memory_bytes=memory * GIB, gpus=gpus)


def queue_of(*, cpus=2, memory=8, gpus=0):
    return BudgetQueue(capacity=demand(cpus=cpus, memory=memory, gpus=gpus))


def keys(taken):
    return [key for key, _ in taken]


def test_the_examples_in_the_documentation_are_true():
    assert doctest.testmod(budget).failed == 0


def test_no_more_entries_run_than_there_are_processors():
    queue = queue_of(cpus=2)
    for key in "abc":
        queue.push(key, key.upper(), demand())

    first = queue.take()
    queue.release("a")
    second = queue.take()

    assert first == [("a", "A"), ("b", "B")]
    assert second == [("c", "C")]


def test_a_small_request_lets_several_share_a_processor():
    queue = queue_of(cpus=1)
    for key in "abc":
        queue.push(key, key, demand(cpus=0.5))

    assert keys(queue.take()) == ["a", "b"]


def test_memory_is_shared_out_too():
    queue = queue_of(cpus=8, memory=8)
    for key in "abc":
        queue.push(key, key, demand(memory=3))

    assert keys(queue.take()) == ["a", "b"]

    queue.release("b")
    assert keys(queue.take()) == ["c"]


def test_a_small_entry_overtakes_a_large_one_only_with_what_that_one_does_not_want():
    queue = queue_of(cpus=4, memory=8, gpus=1)
    queue.push("holds the GPU", 0, demand(gpus=1))
    queue.push("wants the GPU and 2 CPUs", 0, demand(cpus=2, gpus=1))
    queue.push("wants 1 CPU", 0, demand())
    queue.push("wants 1 CPU too", 0, demand())

    assert keys(queue.take()) == ["holds the GPU", "wants 1 CPU"]

    queue.release("holds the GPU")
    assert keys(queue.take()) == ["wants the GPU and 2 CPUs", "wants 1 CPU too"]


def test_a_large_entry_is_not_starved_by_small_ones_that_keep_coming():
    queue = queue_of(cpus=2)
    queue.push("s0", 0, demand())
    queue.push("large", 0, demand(cpus=2))
    started = keys(queue.take())

    for number in range(1, 5):
        queue.push(f"s{number}", 0, demand())
        started += keys(queue.take())
    assert started == ["s0"]

    queue.release("s0")
    assert keys(queue.take()) == ["large"]


def test_an_entry_that_takes_nothing_overtakes_all():
    queue = queue_of(cpus=1)
    queue.push("a", "A", demand())
    queue.push("b", "B", demand())
    queue.push("eager", "E", Demand())

    assert keys(queue.take()) == ["eager", "a"]

    queue.release("eager")
    assert queue.take() == []
    queue.release("a")
    assert queue.take() == [("b", "B")]


def test_a_key_that_waits_or_runs_is_not_queued_again():
    queue = queue_of(cpus=1)
    queue.push("a", "first", demand())
    queue.push("a", "second", demand())

    assert queue.take() == [("a", "first")]

    queue.push("a", "third", demand())
    queue.release("a")
    assert queue.take() == []


def test_a_dropped_entry_never_runs_and_a_running_one_is_not_dropped():
    queue = queue_of(cpus=1)
    queue.push("a", "A", demand())
    queue.push("b", "B", demand())
    queue.take()

    assert queue.drop("b")
    assert not queue.drop("a")
    queue.release("a")
    assert queue.take() == []


def test_releasing_what_does_not_run_frees_nothing():
    queue = queue_of(cpus=1)
    queue.push("a", "A", demand())
    queue.push("b", "B", demand())
    queue.take()

    queue.release("b")
    queue.release("unknown")

    assert queue.take() == []


def test_without_a_processor_nothing_could_ever_run():
    with pytest.raises(ValueError, match="thousandths of a CPU are needed"):
        BudgetQueue(capacity=Demand())


DEMANDS = st.builds(Demand, cpu_millis=st.integers(100, 4000), memory_bytes=st.integers(0, 8), gpus=st.integers(0, 2))
CAPACITY = Demand(cpu_millis=4000, memory_bytes=8, gpus=2)


@given(demands=st.lists(DEMANDS, min_size=1, max_size=30), choice=st.randoms(use_true_random=False))
def test_whatever_is_asked_for_never_more_than_all_is_taken_and_everybody_has_a_turn(demands, choice):
    queue = BudgetQueue(capacity=CAPACITY)
    for key, wanted in enumerate(demands):
        queue.push(key, wanted, wanted)
    running, done = {}, []

    while len(done) < len(demands):
        running |= dict(queue.take())
        assert sum(running.values(), Demand()).fits(CAPACITY)
        key = choice.choice(sorted(running))  # raises if nothing runs although something waits
        queue.release(key)
        done.append((key, running.pop(key)))

    assert sorted(done) == sorted(enumerate(demands), key=lambda pair: pair[0])


@given(demands=st.lists(DEMANDS, min_size=2, max_size=12), choice=st.randoms(use_true_random=False))
def test_overtaking_never_delays_who_is_overtaken(demands, choice):
    """The first that waits starts after as many ends as it would if nobody came after it."""
    queue, alone = BudgetQueue(capacity=CAPACITY), BudgetQueue(capacity=CAPACITY)
    first, late = demands[: len(demands) // 2], demands[len(demands) // 2 :]
    for key, wanted in enumerate(first):
        queue.push(key, wanted, wanted)
        alone.push(key, wanted, wanted)
    for key, wanted in enumerate(late, start=len(first)):
        queue.push(key, wanted, wanted)
    running, running_alone = dict(queue.take()), dict(alone.take())

    while running_alone:
        assert set(running_alone) <= set(running)
        key = choice.choice(sorted(running_alone))
        for each, theirs in ((queue, running), (alone, running_alone)):
            each.release(key)
            theirs.pop(key)
            theirs |= dict(each.take())


def test_devices_are_never_given_to_two_at_once():
    pool = DevicePool(["0", "1", "2"])

    assert pool.take("a", 2) == ("0", "1")
    assert pool.take("b", 1) == ("2",)
    assert pool.take("c", 0) == ()

    pool.release("a")
    assert pool.take("d", 1) == ("0",)

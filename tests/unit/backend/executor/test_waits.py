"""What an attempt is said to wait for."""

from hydraflyte.backend.executor.budget import BudgetQueue
from hydraflyte.backend.executor.demands import Demand
from hydraflyte.backend.executor.waits import why_waiting

GIB = 1 << 30


def queue_with(**demands):
    """A queue in front of 4 CPUs, 8 GiB and 1 GPU; what fits has started."""
    queue = BudgetQueue(capacity=Demand(cpu_millis=4000, memory_bytes=8 * GIB, gpus=1))
    for key, demand in demands.items():
        queue.push(key, key, demand)
    queue.take()
    return queue


def test_who_has_what_is_lacking_is_named():
    queue = queue_with(trains=Demand(cpu_millis=1000, gpus=1), reads=Demand(memory_bytes=6 * GIB), waits=Demand(gpus=1))

    assert why_waiting(queue, "waits") == (
        "waits for resources: it asks for 1 GPU(s), of 1 with 0 free; held by trains (1 GPU(s))"
    )


def test_everything_that_is_lacking_is_told_and_who_comes_first():
    queue = queue_with(
        first=Demand(cpu_millis=3500, memory_bytes=6 * GIB),
        second=Demand(cpu_millis=1000),
        third=Demand(cpu_millis=2000, memory_bytes=3 * GIB),
    )

    assert why_waiting(queue, "third") == (
        "waits for resources: it asks for 2 of CPU, of 4 with 0.5 free and 3.0 GiB of memory, of 8.0 GiB with 2.0 GiB"
        " free; held by first (3.5 of CPU and 6.0 GiB of memory); 1 attempt(s) came before it"
    )


def test_of_many_holders_three_are_named():
    running = {f"t{number}": Demand(cpu_millis=1000) for number in range(5)}

    assert why_waiting(queue_with(**running), "t4") == (
        "waits for resources: it asks for 1 of CPU, of 4 with 0 free;"
        " held by t0 (1 of CPU), t1 (1 of CPU), t2 (1 of CPU) and 1 more"
    )


def test_what_is_free_may_be_kept_for_others():
    queue = queue_with(holds=Demand(cpu_millis=3000), large=Demand(cpu_millis=4000), small=Demand(cpu_millis=1000))

    assert why_waiting(queue, "small") == (
        "waits for resources: what it asks for is free, but kept for 1 attempt(s) that came before it"
    )


def test_what_runs_or_is_unknown_waits_for_nothing():
    queue = queue_with(runs=Demand(gpus=1))

    assert (why_waiting(queue, "runs"), why_waiting(queue, "nobody")) == (None, None)

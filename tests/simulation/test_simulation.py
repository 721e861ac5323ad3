"""The engine in random worlds: crashes, losses, reordered and repeated events, aborts, recoveries.

After each step the invariants are checked, and that the step is repeatable and tells what it touched. A seed
that fails is told again by ``python -m tests.simulation --seed N``. The number of seeds is
``HYDRAFLYTE_SIMULATION_SEEDS`` (default 300); ``HYDRAFLYTE_SIMULATION_FIRST_SEED`` moves the range.
"""

from __future__ import annotations

import os

import pytest
from tests.simulation.many import run_seeds
from tests.simulation.world import run_seed

SEEDS = int(os.environ.get("HYDRAFLYTE_SIMULATION_SEEDS", "300"))
FIRST_SEED = int(os.environ.get("HYDRAFLYTE_SIMULATION_FIRST_SEED", "0"))


@pytest.mark.timeout(900)
def test_every_world_comes_to_a_well_formed_end() -> None:
    tally = run_seeds(FIRST_SEED, SEEDS)

    assert not tally.failures, "\n\n".join([*tally.failures[:5], str(tally)])
    assert tally.seeds == SEEDS


def test_the_worlds_differ_enough_to_reach_every_end() -> None:
    ends = run_seeds(0, 150).ends

    assert set(ends) == {
        "SUCCEEDED",
        "FAILED",
        "ABORTED",
        "recovered SUCCEEDED",
        "recovered FAILED",
        "recovered ABORTED",
    }


def test_a_seed_always_tells_the_same_story() -> None:
    first, second = run_seed(7), run_seed(7)

    assert [world.state for world in first] == [world.state for world in second]
    assert [world.story for world in first] == [world.story for world in second]

"""The engine in hundreds of random worlds: crashes, losses, reordered and repeated events, aborts.

After each step the invariants are checked, and that the step is repeatable and tells what it touched. A seed
that fails is told again by ``python -m tests.simulation --seed N``. The number of seeds is
``HYDRAFLYTE_SIMULATION_SEEDS`` (default 300); ``HYDRAFLYTE_SIMULATION_FIRST_SEED`` moves the range.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from tests.simulation.world import make_world

from hydraflyte.backend.engine.phases import ExecutionPhase

SEEDS = int(os.environ.get("HYDRAFLYTE_SIMULATION_SEEDS", "300"))
FIRST_SEED = int(os.environ.get("HYDRAFLYTE_SIMULATION_FIRST_SEED", "0"))
BATCH = 50


@pytest.mark.parametrize("first", range(FIRST_SEED, FIRST_SEED + SEEDS, BATCH))
def test_every_world_comes_to_a_well_formed_end(first: int) -> None:
    for seed in range(first, min(first + BATCH, FIRST_SEED + SEEDS)):
        world = make_world(seed)
        try:
            world.run()
        except Exception as error:
            pytest.fail(f"replay with: python -m tests.simulation --seed {seed}\n{type(error).__name__}: {error}")


def test_the_worlds_differ_enough_to_reach_every_end() -> None:
    ends = Counter(make_world(seed).run().phase for seed in range(60))

    assert set(ends) == {ExecutionPhase.SUCCEEDED, ExecutionPhase.FAILED, ExecutionPhase.ABORTED}


def test_a_seed_always_tells_the_same_story() -> None:
    first, second = make_world(7), make_world(7)

    assert first.run() == second.run()
    assert first.story == second.story

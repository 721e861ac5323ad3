"""Tell one seed again, or run many.

``python -m tests.simulation --seed 17`` prints every event and how it ended; ``--seeds 10000`` runs that many on all
processors and prints how they ended.
"""

from __future__ import annotations

import argparse

from tests.simulation.many import run_seeds
from tests.simulation.world import World, run_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="the one to tell")
    what.add_argument("--seeds", type=int, help="how many to run")
    parser.add_argument("--first", type=int, default=0, help="the first of many")
    asked = parser.parse_args()
    if asked.seeds is None:
        _replay(asked.seed)
        return 0
    tally = run_seeds(asked.first, asked.seeds)
    print("\n".join([*tally.failures, str(tally)]))
    return 1 if tally.failures else 0


def _replay(seed: int) -> None:
    worlds: list[World] = []
    try:
        run_seed(seed, worlds.append)
    finally:
        for world in worlds:
            _tell(world)


def _tell(world: World) -> None:
    print("\n".join(world.story))
    for node in world.state.nodes.values():
        attempts = " ".join(attempt.phase.name for attempt in node.attempts)
        print(f"  {node.node_id:20} {node.phase.name:10} {attempts}")
    name = world.state.plan.execution_id.name
    print(f"seed {world.seed}: {name} {world.state.phase.name} after {world.steps} events\n")


if __name__ == "__main__":
    raise SystemExit(main())

"""Tell one seed again: ``python -m tests.simulation --seed 17`` prints every event and how it ended."""

from __future__ import annotations

import argparse

from tests.simulation.world import make_world


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    world = make_world(parser.parse_args().seed)
    try:
        world.run()
    finally:
        print("\n".join(world.story))
        for node in world.state.nodes.values():
            attempts = " ".join(attempt.phase.name for attempt in node.attempts)
            print(f"  {node.node_id:20} {node.phase.name:10} {attempts}")
        print(f"seed {world.seed}: {world.state.phase.name} after {world.steps} steps")


if __name__ == "__main__":
    main()

"""What the backend costs per task: a chain of 20 and a fan-out of 100 trivial tasks, through an unmodified FlyteRemote.

Time is that of the execution itself, from its creation to its end as the backend reports them. In the same run, two
peers that also give each task a process of its own: a fresh interpreter that imports flytekit's entrypoint (the least
that one interpreter per task can cost), and Metaflow, if ``--metaflow`` names a Python that has it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import backend, environment_without_flyte, report, summary, timed

TURNS = 7
CHAIN, FAN_OUT = 20, 100
LIMITS = {"chain_ms_per_task": 60, "fan_out_tasks_per_s": 25}
METAFLOW_CHAIN = """
from metaflow import FlowSpec, step


class Chain(FlowSpec):
    @step
    def start(self):
        self.x = 0
        self.next(self.s1)

{steps}
    @step
    def end(self):
        pass


if __name__ == "__main__":
    Chain()
"""
METAFLOW_STEP = """    @step
    def s{n}(self):
        self.x += 1
        self.next(self.{following})

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metaflow", metavar="PYTHON", help="interpreter that has Metaflow, for comparison")
    options = parser.parse_args()
    with backend() as status:
        chain, fan_out, one = measure_backend(str(status["config"]))
    interpreter = [interpreter_start() for _ in range(TURNS)]
    chain_ms = [1000 * seconds / CHAIN for seconds in chain]
    tasks_per_s = [FAN_OUT / seconds for seconds in fan_out]
    figures: dict[str, Any] = {
        "limits": LIMITS,
        "chain_ms_per_task": summary(chain_ms, 1),
        "fan_out_tasks_per_s": summary(tasks_per_s, 1),
        "one_task_ms": summary([1000 * seconds for seconds in one], 1),
        "holds": {
            "chain_ms_per_task": statistics.median(chain_ms) < LIMITS["chain_ms_per_task"],
            "fan_out_tasks_per_s": statistics.median(tasks_per_s) > LIMITS["fan_out_tasks_per_s"],
        },
        "fresh_interpreter_ms": summary([1000 * seconds for seconds in interpreter], 1),
        "fresh_interpreter_to_chain_task": round(
            1000 * statistics.median(interpreter) / statistics.median(chain_ms), 1
        ),
    }
    if options.metaflow:
        metaflow = metaflow_ms_per_task(options.metaflow)
        figures["metaflow_chain_ms_per_task"] = summary(metaflow, 1)
        figures["metaflow_to_chain_task"] = round(statistics.median(metaflow) / statistics.median(chain_ms), 1)
    report("tasks", figures)


def measure_backend(config: str) -> tuple[list[float], list[float], list[float]]:
    """Return the seconds of each execution of the chain, the fan-out and the single task, measured in turns."""
    import trivial_workflows
    from flytekit.configuration import Config
    from flytekit.remote import FlyteRemote

    remote = FlyteRemote(Config.auto(config), default_project="flytesnacks", default_domain="development")
    here = str(Path(__file__).resolve().parent)

    def registered(workflow: Any) -> Any:  # flytekit's own types
        return remote.register_script(workflow, source_path=here, module_name="trivial_workflows")

    workflows = [registered(getattr(trivial_workflows, name)) for name in ("chain", "fan_out", "one")]
    for workflow in workflows:
        seconds_of(remote, workflow)  # the first one unpacks the code and warms the interpreter
    turns = [[seconds_of(remote, workflow) for workflow in workflows] for _ in range(TURNS)]
    chain, fan_out, one = (list(column) for column in zip(*turns, strict=True))
    return chain, fan_out, one


def seconds_of(remote: Any, workflow: Any) -> float:  # flytekit's own types
    execution = remote.execute(workflow, inputs={"x": 0}, wait=True)
    if execution.error is not None:
        raise RuntimeError(execution.error.message)
    ended = execution.closure.updated_at
    return float((ended - execution.closure.created_at).total_seconds())


def interpreter_start() -> float:
    command = [sys.executable, "-c", "import flytekit.bin.entrypoint"]
    return timed(command, environment=environment_without_flyte(), cwd=Path.cwd())


def metaflow_ms_per_task(python: str) -> list[float]:
    """Return, per turn, (a chain of 20 - a chain of 1) / 19 in milliseconds: beyond the tool's own start."""
    with tempfile.TemporaryDirectory(prefix="hf-bench-") as name:
        folder = Path(name)
        environment = {**environment_without_flyte(), "USERNAME": "benchmark", "METAFLOW_HOME": name}
        for length in (1, CHAIN):
            steps = "".join(
                METAFLOW_STEP.format(n=n, following=f"s{n + 1}" if n < length else "end") for n in range(1, length + 1)
            )
            (folder / f"chain{length}.py").write_text(METAFLOW_CHAIN.format(steps=steps), encoding="utf-8")

        def seconds(length: int) -> float:
            return timed([python, folder / f"chain{length}.py", "run"], environment=environment, cwd=folder)

        return [1000 * (seconds(CHAIN) - seconds(1)) / (CHAIN - 1) for _ in range(3)]


if __name__ == "__main__":
    main()

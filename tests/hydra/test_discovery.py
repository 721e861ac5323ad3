"""Projects as people have them, through ``python train.py -m``: everything that is used is registered and shipped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.hydra.programs import QUIET

from hydraflyte.home import RunningBackend

pytestmark = pytest.mark.usefixtures("flyte_backend")

TRAIN = '''
"""A dynamic and an eager task whose tasks hide in helpers of other modules, in classes, and behind names."""

import asyncio
from importlib import import_module

import hydra
from flytekit import LaunchPlan, conditional, dynamic, map_task, task, workflow
from hydraflyte import uses
from omegaconf import DictConfig

import helpers
from shared.steps import from_the_workspace
from table import STEPS


@task
def tripled(x: int) -> int:
    return 3 * x


@workflow
def planned(x: int) -> int:
    return tripled(x=x)


nightly = LaunchPlan.get_or_create(planned, name="nightly-{mark}", fixed_inputs=dict(x=5))


@dynamic
@uses("plugins.late:late")
def choose(x: int) -> list[int]:
    by_name = getattr(import_module("plugins.late"), "late")
    return [
        helpers.through_a_helper(x),
        STEPS["inner"][0](x=x),
        helpers.Steps.of_a_class(x=x),
        by_name(x=x),
        nightly(),
    ]


@task
def total(values: list[int]) -> int:
    return sum(values)


@workflow
def pipeline(x: int = 1) -> int:
    mapped = map_task(tripled)(x=[1, 2])
    checked = (
        conditional("sign").if_(x > 0).then(from_the_workspace(x=x)).else_().fail("x has to be positive")
    )
    return total(values=helpers.joined(parts=choose(x=x), more=mapped, last=checked))


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> int:
    return pipeline(**cfg)


if __name__ == "__main__":
    main()
'''

PROJECT = {
    "app/train.py": TRAIN,
    "app/helpers.py": """
        from flytekit import task

        @task
        def hidden(x: int) -> int:
            return x + 10

        @task
        def in_a_class(x: int) -> int:
            return x + 100

        @task
        def joined(parts: list[int], more: list[int], last: int) -> list[int]:
            return [*parts, *more, last]

        class Steps:
            of_a_class = in_a_class

        def through_a_helper(x):
            return hidden(x=x)
    """,
    "app/table.py": """
        from flytekit import task

        @task
        def of_a_table(x: int) -> int:
            return x + 1000

        STEPS = {"inner": [of_a_table]}
    """,
    "app/plugins/__init__.py": "",
    "app/plugins/late.py": """
        from flytekit import task

        @task
        def late(x: int) -> int:
            return x + 10000
    """,
    "packages/shared/src/shared/__init__.py": "",
    "packages/shared/src/shared/rates.json": '{"rate": 7}',
    "packages/shared/src/shared/steps.py": """
        import json
        from pathlib import Path

        from flytekit import task

        HERE = Path(__file__).parent

        @task
        def from_the_workspace(x: int) -> int:
            assert "packages" not in HERE.parts, f"not from the code bundle, but from {HERE}"
            return json.loads((HERE / "rates.json").read_text())["rate"] * x
    """,
}


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).replace("{mark}", root.parent.name))
    return root


def launch(folder: Path, *arguments: str, python_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *QUIET, "train.py", "-m", "hydra.sweep.dir=../sweep", *arguments],
        cwd=folder,
        env={**os.environ, **({} if python_path is None else {"PYTHONPATH": str(python_path)})},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_what_is_used_in_any_way_is_registered_shipped_and_run(tmp_path: Path, flyte_backend: RunningBackend) -> None:
    root = write(tmp_path / "work", PROJECT)

    result = launch(root / "app", "+x=2", python_path=root / "packages" / "shared" / "src")

    assert result.returncode == 0, result.stdout + result.stderr
    (job,) = json.loads((root / "sweep" / "results.json").read_text())
    assert job["outputs"] == {"o0": (2 + 10) + (2 + 1000) + (2 + 100) + (2 + 10000) + 15 + 3 + 6 + 14}
    assert "registered train.pipeline: 14 entities created" in result.stdout
    assert re.search(
        r"^code bundle: 8 files, \d+ kB, \d+ left out; the biggest: train\.py \(1 kB\), ", result.stdout, re.M
    )


def test_an_arm_that_fails_and_a_plan_without_code_are_seen_before_anything_runs(tmp_path: Path) -> None:
    root = write(tmp_path / "work", PROJECT)

    result = launch(
        root / "app", "+x=2", "hydra.launcher.dry_run=true", python_path=root / "packages" / "shared" / "src"
    )

    assert result.returncode == 0, result.stdout + result.stderr
    for name in (
        "task helpers.hidden",
        "task helpers.in_a_class",
        "task table.of_a_table",
        "task plugins.late.late",
        "task shared.steps.from_the_workspace",
        "task train.map_tripled",
        f"launch plan nightly-{tmp_path.name}",
    ):
        assert name in result.stdout
    assert "entities: 14\n" in result.stdout
    assert "shared/rates.json (11 bytes)" in result.stdout


EAGER = """
import hydra
from flytekit import eager, task
from omegaconf import DictConfig
from hydraflyte import uses

import helpers


@eager
@uses(helpers.in_a_class)
async def lively(x: int) -> int:
    first = await helpers.call_hidden(x)
    return first + getattr(helpers, "in_" + "a_class")(x=x)


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> int:
    import asyncio

    return asyncio.run(lively(**cfg))


if __name__ == "__main__":
    main()
"""


def test_an_eager_tasks_tasks_are_found_in_other_modules(tmp_path: Path) -> None:
    helpers = textwrap.dedent(PROJECT["app/helpers.py"]) + ("\n\nasync def call_hidden(x):\n    return hidden(x=x)\n")
    root = write(tmp_path / "work", {"train.py": EAGER, "helpers.py": helpers})

    result = launch(root, "+x=2", "hydra.launcher.dry_run=true")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "task helpers.hidden" in result.stdout
    assert "task helpers.in_a_class" in result.stdout


IN_ANOTHER_MODULE = """
import hydra
from omegaconf import DictConfig

import app


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> int:
    return app.Runner(cfg).run()


if __name__ == "__main__":
    main()
"""


def test_the_workflow_is_found_behind_a_class_of_another_module(tmp_path: Path) -> None:
    app = """
        from flytekit import task, workflow

        @task
        def doubled(x: int) -> int:
            return 2 * x

        @workflow
        def whole(x: int) -> int:
            return doubled(x=x)

        class Runner:
            def __init__(self, cfg):
                self.cfg = cfg

            def run(self):
                return whole(**self.cfg)
    """
    root = write(tmp_path / "work", {"train.py": IN_ANOTHER_MODULE, "app.py": app})

    result = launch(root, "+x=1", "hydra.launcher.dry_run=true")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "app.whole in flytesnacks/development" in result.stdout

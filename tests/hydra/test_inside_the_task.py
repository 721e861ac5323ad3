"""What Hydra's own parts say in a task is what they say where the job was launched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.hydra.programs import run_program, write_program

from hydraflyte.home import RunningBackend

PROGRAM = """
import json
import logging
import os

import hydra
from flytekit import task, workflow
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

OmegaConf.register_new_resolver("twice", lambda value: 2 * int(value), replace=True)
log = logging.getLogger("train")


@task
def look(cfg: DictConfig) -> str:
    log.info("looked from job %s", HydraConfig.get().job.num)
    log.debug("asked for by hydra.verbose")
    seen = {
        "num": HydraConfig.get().job.num,
        "name": HydraConfig.get().job.name,
        "choice": HydraConfig.get().runtime.choices.model,
        "overrides": list(HydraConfig.get().overrides.task),
        "folder": HydraConfig.get().runtime.output_dir,
        "launched": cfg.launched,
        "number": cfg.number,
        "doubled": cfg.doubled,
        "subdir": HydraConfig.get().sweep.subdir,
    }
    return json.dumps(seen)


@workflow
def looks(cfg: DictConfig) -> str:
    return look(cfg=cfg)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> str:
    return looks(cfg=cfg)


if __name__ == "__main__":
    main()
"""

CONFIG = """
defaults:
  - model: small
  - _self_
lr: 0.1
launched: ${now:%H-%M-%S-%f}
number: ${hydra:job.num}
doubled: ${twice:${lr_times_ten}}
lr_times_ten: 1
hydra:
  sweep:
    dir: out/${now:%H-%M-%S-%f}
    subdir: job-${hydra.job.num}-${lr_times_ten}
  job_logging:
    formatters:
      simple:
        format: "<%(levelname)s> %(message)s"
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, flyte_backend: RunningBackend) -> Path:
    """The folder of a sweep of two jobs."""
    folder = tmp_path_factory.mktemp("looking")
    program = write_program(folder, PROGRAM, config=CONFIG)
    (folder / "conf" / "model").mkdir()
    (folder / "conf" / "model" / "small.yaml").write_text("depth: 2\n", encoding="utf-8")
    arguments = ("hydra/launcher=flyte", "lr_times_ten=3,4", "hydra.verbose=train")

    ran = run_program(program, "-m", *arguments, environ={"HYDRAFLYTE_HOME": flyte_backend.home})

    assert ran.returncode == 0, ran.stdout + ran.stderr
    (made,) = (folder / "out").iterdir()
    return made


@pytest.mark.parametrize(("number", "value"), [(0, 3), (1, 4)])
def test_a_task_sees_its_jobs_hydra_config_and_resolvers(sweep: Path, number: int, value: int) -> None:
    assert _returned(sweep, number) == {
        "num": number,
        "name": "program",
        "choice": "small",
        "overrides": [f"lr_times_ten={value}"],
        "folder": str(sweep / f"job-{number}-{value}"),
        "subdir": f"job-{number}-{value}",
        "number": number,
        "doubled": 2 * value,
        "launched": sweep.name,  # ${now:} was asked for the same pattern before, when the folder was named
    }


@pytest.mark.parametrize(("number", "value"), [(0, 3), (1, 4)])
def test_what_a_task_logs_is_formatted_as_the_user_set_it_and_lands_in_the_jobs_folder(
    sweep: Path, number: int, value: int
) -> None:
    log = (sweep / f"job-{number}-{value}" / "program.log").read_text(encoding="utf-8")

    assert log.startswith("==> n0 attempt 0 stdout <==\n")
    assert f"<INFO> looked from job {number}\n" in log
    assert "<DEBUG> asked for by hydra.verbose\n" in log


def _returned(sweep: Path, number: int) -> dict[str, object]:
    rows = json.loads((sweep / "results.json").read_text(encoding="utf-8"))
    seen = json.loads(rows[number]["outputs"]["o0"])
    assert isinstance(seen, dict)
    return seen

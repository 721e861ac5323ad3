"""A job's Hydra side, written on one side and restored in a process of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import warnings
import zlib
from datetime import datetime
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from omegaconf import DictConfig

from hydraflyte.transport import TransportError
from hydraflyte.transport.hydra_job import pack_hydra_job, restore_hydra_job
from hydraflyte.transport.settings import HYDRA_JOB_VARIABLE

LAUNCHED = datetime(2026, 3, 1, 12, 30, 45, 678901)


@pytest.fixture
def job(tmp_path: Path) -> DictConfig:
    """A job's whole config; ``HydraConfig`` speaks of it."""
    (tmp_path / "config.yaml").write_text(
        "lr: 0.5\nhydra:\n  job: {num: 3, id: '3', name: train}\n  runtime: {output_dir: /runs/3}\n"
        "  sweep: {subdir: 'lr-${lr}'}\n  sweeper: {params: {secret: hush}}\n",
        encoding="utf-8",
    )
    setup_globals()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Hydra 1.4 deprecates what 1.3 asks for
        context = initialize_config_dir(str(tmp_path), version_base=None)
    with context:
        config = compose("config", return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return config


def in_task(packed: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a process that flytekit makes the job's task."""
    program = f"import flytekit\nfrom hydra.core.hydra_config import HydraConfig\n{code}"
    environ = {**os.environ, HYDRA_JOB_VARIABLE: packed}
    return subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)


def test_hydra_config_is_there_and_leads_into_the_users_part(job: DictConfig) -> None:
    packed = pack_hydra_job(job, name="train", now=LAUNCHED)

    ran = in_task(packed, "h = HydraConfig.get()\nprint(h.job.num, h.job.name, h.runtime.output_dir, h.sweep.subdir)")

    assert ran.stdout == "3 train /runs/3 lr-0.5\n", ran.stderr


def test_now_is_the_moment_of_the_launch(job: DictConfig) -> None:
    packed = pack_hydra_job(job, name="train", now=LAUNCHED)

    code = "from omegaconf import OmegaConf\nprint(OmegaConf.create({'t': '${now:%Y-%m-%d %H:%M:%S.%f}'}).t)"
    ran = in_task(packed, code)

    assert ran.stdout == "2026-03-01 12:30:45.678901\n", ran.stderr


def test_the_settings_of_launcher_and_sweeper_stay_at_home(job: DictConfig) -> None:
    packed = pack_hydra_job(job, name="train", now=LAUNCHED)

    carried = json.loads(zlib.decompress(base64.b64decode(packed)))["hydra"]

    assert {"launcher", "sweeper", "callbacks"}.isdisjoint(carried)
    assert "hush" not in json.dumps(carried)


def test_a_value_that_the_tasks_hydra_has_another_type_for_is_the_default_there(job: DictConfig) -> None:
    content = json.loads(zlib.decompress(base64.b64decode(pack_hydra_job(job, name="train", now=LAUNCHED))))
    content["hydra"]["job"]["chdir"] = "a value of a later Hydra"
    packed = base64.b64encode(zlib.compress(json.dumps(content).encode())).decode()

    ran = in_task(packed, "h = HydraConfig.get()\nprint(h.job.num, bool(h.job.chdir))")

    assert ran.stdout == "3 False\n", ran.stderr


@pytest.mark.parametrize("packed", ["", "not base64!", base64.b64encode(b"no zlib").decode(), "eJyrBQAAdAB1"])
def test_a_damaged_variable_is_named(packed: str) -> None:
    with pytest.raises(TransportError, match=HYDRA_JOB_VARIABLE):
        restore_hydra_job(packed)

"""Small Hydra programs for tests, run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

QUIET = ("-W", "ignore:The version_base parameter", "-W", "ignore::DeprecationWarning")

NO_YAML = """
import hydra
from flytekit import task, workflow
from omegaconf import DictConfig


@task
def square(x: float) -> float:
    if x < 0:
        raise ValueError(f"{x} is negative")
    return x * x


@workflow
def squares(x: float = 2.0) -> float:
    return square(x=x)


@hydra.main(version_base=None, config_path=None, config_name="hydra/launcher/flyte")
def main(cfg: DictConfig) -> float:
    value = squares(**cfg)
    print(f"value: {value}")
    return value


if __name__ == "__main__":
    main()
"""

WITH_CONFIG = """
import hydra
from omegaconf import DictConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    print(f"ran here: {dict(cfg)}")


if __name__ == "__main__":
    main()
"""


def write_program(folder: Path, source: str, *, config: str | None = None) -> Path:
    """Write ``program.py`` and, if given, its ``conf/config.yaml``; returns the program's path."""
    program = folder / "program.py"
    program.write_text(source, encoding="utf-8")
    if config is not None:
        (folder / "conf").mkdir()
        (folder / "conf" / "config.yaml").write_text(config, encoding="utf-8")
    return program


def run_program(
    program: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program in its folder; deprecation warnings of Hydra 1.4 stay out of what it prints."""
    return subprocess.run(
        [sys.executable, *QUIET, program.name, *arguments],
        cwd=program.parent,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

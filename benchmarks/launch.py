"""What a launch costs: ``python train.py -m`` of a one-task workflow on a running backend, against ``python train.py``.

Launches of unchanged code and of code that is new each time (packed, uploaded, registered) alternate with local runs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from measuring import backend, environment_without_flyte, report, summary, timed

TURNS = 9
LIMIT = 1.6
SCRIPT = """
import hydra
from flytekit import task, workflow
from omegaconf import DictConfig


@task
def add(cfg: DictConfig) -> int:
    return cfg.x + 1


@workflow
def wf(cfg: DictConfig) -> int:
    return add(cfg=cfg)


@hydra.main(version_base=None, config_path=".", config_name="config")
def main(cfg: DictConfig) -> int:
    result = wf(cfg=cfg)
    print(result)
    return result


if __name__ == "__main__":
    main()
"""
CONFIG = "defaults:\n  - _self_\n  - override hydra/launcher: flyte\nx: 1\n"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hf-bench-") as name, backend() as status:
        folder = Path(name)
        script = folder / "train.py"
        script.write_text(SCRIPT, encoding="utf-8")
        (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
        environment = {**environment_without_flyte(), "HYDRAFLYTE_HOME": status["home"]}

        def run(*arguments: str) -> float:
            return timed([sys.executable, script, *arguments], environment=environment, cwd=folder)

        first = run("-m")
        run()
        local, unchanged, new = [], [], []
        for turn in range(TURNS):
            local.append(run())
            unchanged.append(run("-m"))
            script.write_text(f"{SCRIPT}# {turn}\n", encoding="utf-8")
            new.append(run("-m"))
            script.write_text(SCRIPT, encoding="utf-8")
    ratio = statistics.median(unchanged) / statistics.median(local)
    report(
        "launch",
        {
            "limit_ratio": LIMIT,
            "ratio_unchanged_code": round(ratio, 3),
            "ratio_new_code": round(statistics.median(new) / statistics.median(local), 3),
            "holds": ratio <= LIMIT,
            "local_s": summary(local),
            "launch_unchanged_code_s": summary(unchanged),
            "launch_new_code_s": summary(new),
            "very_first_launch_s": round(first, 4),
        },
    )


if __name__ == "__main__":
    main()

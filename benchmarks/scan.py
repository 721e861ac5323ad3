"""What the plugin costs every Hydra program: the same empty program, with and without hydraflyte in Hydra's sight.

Without: an empty package hides ``hydra_plugins``. Runs alternate; the cost is the median of the paired differences.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import environment_without_flyte, report, summary, timed

PAIRS = 40
LIMIT_MS = 20
PROGRAM = """
import sys

import hydra


@hydra.main(version_base=None, config_path=None)
def main(cfg):
    loaded = [name for name in ("flytekit", "grpc", "hydra_plugins.hydraflyte_launcher") if name in sys.modules]
    print(" ".join(loaded))


main()
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hf-bench-") as name:
        folder = Path(name)
        (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
        (folder / "empty" / "hydra_plugins").mkdir(parents=True)
        (folder / "empty" / "hydra_plugins" / "__init__.py").touch()
        command = [sys.executable, folder / "program.py", "hydra.run.dir=.", "hydra.output_subdir=null"]
        seen = environment_without_flyte()
        hidden = {**seen, "PYTHONPATH": str(folder / "empty")}
        loaded = {
            case: subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True, text=True)
            for case, environment in (("with", seen), ("without", hidden))
        }
        pairs = [
            (timed(command, environment=seen, cwd=folder), timed(command, environment=hidden, cwd=folder))
            for _ in range(PAIRS)
        ]
    cost = summary([1000 * (with_plugin - without) for with_plugin, without in pairs], 1)
    report(
        "scan",
        {
            "limit_ms": LIMIT_MS,
            "cost_ms": cost,
            "holds": cost["median"] < LIMIT_MS,
            "with_plugin_s": summary([with_plugin for with_plugin, _ in pairs]),
            "without_plugin_s": summary([without for _, without in pairs]),
            "modules_loaded": {case: ended.stdout.split() for case, ended in loaded.items()},
        },
    )


if __name__ == "__main__":
    main()

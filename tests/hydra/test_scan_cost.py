"""What the plugin costs every Hydra program, also those that never launch anything."""

from __future__ import annotations

import json
import subprocess
import sys

LIMIT_S = 0.020

SCAN = """
import json, sys
from hydra.core.plugins import Plugins
Plugins.instance()
print(json.dumps(sorted(sys.modules)))
"""

COST = """
import importlib, time
import hydra.core.plugins, hydra.core.config_store, hydra.core.hydra_config
import hydra._internal.core_plugins.basic_launcher
start = time.process_time()  # not the wall clock: the machine may be busy
for name in ("", ".config", ".launcher"):
    importlib.import_module("hydra_plugins.hydraflyte_launcher" + name)
print(time.process_time() - start)
"""


def output_of(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_scanning_the_plugin_imports_neither_flytekit_nor_grpc() -> None:
    modules = json.loads(output_of(SCAN))

    assert "hydra_plugins.hydraflyte_launcher.launcher" in modules
    assert {"flytekit", "flyteidl", "grpc", "pandas", "rich", "platformdirs"}.isdisjoint(modules)
    assert [name for name in modules if name.startswith("hydraflyte")] == []


def test_scanning_the_plugin_adds_less_than_20_ms() -> None:
    quickest = min(float(output_of(COST)) for _ in range(4))

    assert quickest < LIMIT_S

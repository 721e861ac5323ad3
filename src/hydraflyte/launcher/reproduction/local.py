"""Runs what ``reproduce --into`` wrote, in this process: the code of the folder, on its inputs.

One rule: nothing but the folder and what is installed here is used; no backend is asked. The folder's run.py starts it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flyteidl.core import literals_pb2
from flytekit.core.base_task import PythonTask
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.core.workflow import WorkflowBase
from flytekit.models.literals import LiteralMap

from hydraflyte.errors import HydraFlyteError, ReproductionError
from hydraflyte.launcher.execute import to_literals
from hydraflyte.launcher.inputs import JobInputs
from hydraflyte.launcher.reproduction.comparison import Verdict, compare
from hydraflyte.launcher.reproduction.folder import ABOUT, CODE, INPUTS, OUTPUTS
from hydraflyte.transport.hydra_job import restore_hydra_job
from hydraflyte.transport.readable import readable_map
from hydraflyte.transport.settings import HYDRA_JOB_VARIABLE


def run_folder(folder: Path) -> int:
    """Run it; returns 0 if the outputs are the recorded ones, or none were recorded."""
    try:
        outputs = _run(folder)
    except HydraFlyteError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)  # noqa: T201 - a program of its own
        return 1
    print(json.dumps(readable_map(outputs), indent=1, default=str))  # noqa: T201 - likewise
    recorded = folder / OUTPUTS
    if not recorded.is_file():
        return 0
    compared = compare(literals_pb2.LiteralMap.FromString(recorded.read_bytes()), outputs)
    for each in compared:
        print(f"{each.name}: {each.verdict.value} ({each.text})")  # noqa: T201 - likewise
    return int(any(each.verdict is Verdict.DIFFERENT for each in compared))


def _run(folder: Path) -> literals_pb2.LiteralMap:
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    os.environ.update(about["environment"])
    if HYDRA_JOB_VARIABLE in about["environment"]:
        restore_hydra_job(about["environment"][HYDRA_JOB_VARIABLE])
    code = folder / CODE
    if code.is_dir():
        sys.path.insert(0, str(code))
        os.chdir(code)  # as in a task: the bundle is the working directory
    entity = _entity(about["entity"])
    interface = entity.python_interface
    literals = literals_pb2.LiteralMap.FromString((folder / INPUTS).read_bytes())
    values = _values(literals, {name: interface.inputs[name] for name in literals.literals if name in interface.inputs})
    result = entity(**values)
    names = tuple(interface.outputs)
    found = dict(zip(names, result if len(names) > 1 else (result,), strict=True)) if names else {}
    return to_literals(JobInputs(values=found, types=dict(interface.outputs)))


def _values(literals: literals_pb2.LiteralMap, types: Mapping[str, Any]) -> dict[str, Any]:  # Any: the user's own
    given = literals_pb2.LiteralMap(literals={name: literals.literals[name] for name in types})
    try:
        values: dict[str, Any] = TypeEngine.literal_map_to_kwargs(
            FlyteContextManager.current_context(), LiteralMap.from_flyte_idl(given), dict(types)
        )
    except (TypeError, ValueError, AssertionError, KeyError, AttributeError, OSError) as error:
        raise ReproductionError(
            f"The inputs cannot be read here: {error}", hint="files among them must be where they were."
        ) from error
    return values


def _entity(name: str) -> WorkflowBase | PythonTask:
    """Return the workflow or task of a registered name, which is that of its module and variable."""
    module_name, _, variable = name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ReproductionError(
            f"The code of {name} cannot be imported: {error}",
            hint="install what it needs; execution.json lists the packages that were there.",
        ) from error
    candidates = [getattr(module, variable, None), *vars(module).values()]
    found = next(
        (each for each in candidates if isinstance(each, (WorkflowBase, PythonTask)) and each.name == name), None
    )
    if found is None:
        raise ReproductionError(f"The module {module_name} has no {variable}.", hint="the code bundle is another one.")
    return found

"""A Hydra launcher that takes the steps up to the code bundle for real, and writes what came out of them as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher


class ReportLauncher(Launcher):
    def setup(self, *, hydra_context, task_function, config):
        self._task_function = task_function

    def launch(self, job_overrides, initial_job_idx):
        destination = Path(os.environ["REPORT"])
        destination.write_text(json.dumps(_report(self._task_function, destination.parent)))
        return []


def _report(task_function, into):
    import sys

    from hydraflyte.errors import HydraFlyteError
    from hydraflyte.launcher.discover import discover
    from hydraflyte.launcher.package import build_bundle, collect_files, prove_importable
    from hydraflyte.launcher.version import resolve_version

    try:
        source = discover(task_function, workflow_name=os.environ.get("WORKFLOW_NAME"))
        files = collect_files(source)
        bundle = build_bundle(files, into / "bundles")
        version = resolve_version(given=None, source_root=source.source_root, files=files)
        prove_importable(bundle, source.modules, sys.executable, loads=source.loads)
    except HydraFlyteError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    return {
        "error": None,
        "workflow": source.workflow.name,
        "module_name": source.module_name,
        "source_root": str(source.source_root),
        "search_roots": [str(root) for root in source.search_roots],
        "entities": [f"{_kind(entity)} {entity.name}" for entity in source.entities],
        "modules": list(source.modules),
        "files": [file.name for file in files.files],
        "bundle": str(bundle.path),
        "version": version.text,
        "commands": _commands(source),
    }


def _kind(entity):
    from flytekit.core.base_task import PythonTask
    from flytekit.core.launch_plan import LaunchPlan

    return "task" if isinstance(entity, PythonTask) else "plan" if isinstance(entity, LaunchPlan) else "workflow"


def _commands(source):
    """Return the container arguments that flytekit itself serialises for each task, by registered name."""
    from collections import OrderedDict

    from flytekit.configuration import Image, ImageConfig, SerializationSettings
    from flytekit.models.task import TaskSpec
    from flytekit.tools.translator import get_serializable

    image = Image(name="default", fqn="example.invalid/image", tag="1")
    settings = SerializationSettings(
        image_config=ImageConfig(default_image=image), project="p", domain="d", version="v"
    )
    specs = OrderedDict()
    for entity in source.entities:
        get_serializable(specs, settings, entity)
    tasks = [spec.template for spec in specs.values() if isinstance(spec, TaskSpec)]
    return {template.id.name: list(template.container.args) for template in tasks if template.container}


ConfigStore.instance().store(
    group="hydra/launcher", name="report", node={"_target_": "hydra_plugins.report_launcher.ReportLauncher"}
)

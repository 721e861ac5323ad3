"""What a backend and the launcher kept of an execution: code, inputs, outputs, environment, provenance.

One rule: everything is read, nothing is guessed; what was not kept is None or empty. Changes nothing.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flyteidl.admin import execution_pb2, launch_plan_pb2, workflow_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2, tasks_pb2
from google.protobuf import json_format

from hydraflyte.errors import BackendRefusedError, ReproductionError
from hydraflyte.labels import OVERRIDES, split_overrides
from hydraflyte.launcher.provenance import DOCUMENT, VERSIONS
from hydraflyte.launcher.register import PYTHON_VARIABLE
from hydraflyte.launcher.remote import FlyteClient
from hydraflyte.launcher.reproduction.places import fetch_file, scratch_folder

_CODE_OPTION = "--additional-distribution"
_MADE_UP = ".flytegen."
"""What the name of the launch plan begins with that Flyte makes up around a task that is run alone."""
_ENDED = frozenset(
    {
        core_execution_pb2.WorkflowExecution.SUCCEEDED,
        core_execution_pb2.WorkflowExecution.FAILED,
        core_execution_pb2.WorkflowExecution.ABORTED,
        core_execution_pb2.WorkflowExecution.TIMED_OUT,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An execution that has ended, and what is known of it.

    Attributes:
        inputs: all of them, those by default included.
        outputs: None unless it succeeded.
        launch_plan: what it ran.
        tasks: every task of its workflow; those that a dynamic task made up are not known.
        document: the provenance that was stored with the registration; empty if there is none, or it is gone.
    """

    execution: execution_pb2.Execution
    inputs: literals_pb2.LiteralMap
    outputs: literals_pb2.LiteralMap | None
    launch_plan: launch_plan_pb2.LaunchPlan
    tasks: tuple[tasks_pb2.TaskTemplate, ...]
    document: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON

    @property
    def name(self) -> str:
        return str(self.execution.id.name)

    @property
    def entity_name(self) -> str:
        """Name of the workflow, or of the task that was run alone."""
        return str(self.launch_plan.spec.workflow_id.name).removeprefix(_MADE_UP)

    @property
    def annotations(self) -> Mapping[str, str]:
        return dict(self.execution.spec.annotations.values)

    @property
    def overrides(self) -> tuple[str, ...]:
        """The job's overrides, without the secrets in them."""
        return split_overrides(self.annotations.get(OVERRIDES, ""))

    @property
    def environment(self) -> dict[str, str]:
        """Variables that the execution set for all of its tasks."""
        return {pair.key: pair.value for pair in self.execution.spec.envs.values}

    @property
    def code_uris(self) -> tuple[str, ...]:
        """Where its code bundles are; several if it uses tasks of other versions; none if images have the code."""
        version = self.launch_plan.spec.workflow_id.version
        uris = [(task.id.version != version, uri) for task in self.tasks for uri in _code_of(task)]
        return tuple(dict.fromkeys(uri for _, uri in sorted(uris, key=lambda pair: pair[0])))

    @property
    def interpreter(self) -> str | None:
        """The Python that its tasks run in, where they are no containers."""
        variables = (pair for task in self.tasks for pair in task.container.env)
        return next((str(pair.value) for pair in variables if pair.key == PYTHON_VARIABLE), None)

    @property
    def versions(self) -> dict[str, str]:
        """Versions that were noted at the launch: Python, flytekit, Hydra."""
        pairs = (part.strip().rpartition(" ") for part in self.annotations.get(VERSIONS, "").split(","))
        return {name: version for name, _, version in pairs if name}

    @property
    def packages(self) -> dict[str, str]:
        """Everything that was installed at the launch; empty if that was not noted."""
        packages = self.document.get("packages")
        return dict(packages) if isinstance(packages, dict) else {}


def read_recorded(client: FlyteClient, identifier: identifier_pb2.WorkflowExecutionIdentifier) -> Recorded:
    """Return what is known of an execution.

    Raises:
        ReproductionError: there is no such execution, it goes on, or what it ran is not registered any more.
    """
    try:
        execution = client.get_execution(identifier, patience_s=0.0)
    except BackendRefusedError as error:
        raise ReproductionError(
            f"There is no execution {identifier.name} in {identifier.project}/{identifier.domain}: {error.message}",
            hint="check its name, and give --project and --domain.",
        ) from error
    if execution.closure.phase not in _ENDED:
        raise ReproductionError(
            f"The execution {identifier.name} goes on.", hint="wait until it has ended; then its end can be compared."
        )
    annotations = execution.spec.annotations.values
    succeeded = execution.closure.phase == core_execution_pb2.WorkflowExecution.SUCCEEDED
    plan = _launch_plan(client, execution.spec.launch_plan)
    return Recorded(
        execution=execution,
        inputs=client.get_inputs(identifier),
        outputs=client.get_outputs(identifier) if succeeded else None,
        launch_plan=plan,
        tasks=_tasks(client, plan.spec.workflow_id),
        document=_document(annotations[DOCUMENT]) if DOCUMENT in annotations else {},
    )


def _launch_plan(client: FlyteClient, launched: identifier_pb2.Identifier) -> launch_plan_pb2.LaunchPlan:
    identifier = identifier_pb2.Identifier()
    identifier.CopyFrom(launched)
    if launched.resource_type == identifier_pb2.TASK:
        identifier.resource_type = identifier_pb2.LAUNCH_PLAN
        identifier.name = f"{_MADE_UP}{launched.name}"
    found = client.fetch(identifier)
    if not isinstance(found, launch_plan_pb2.LaunchPlan):
        raise ReproductionError(
            f"The launch plan {launched.name} (version {launched.version}) is not registered.",
            hint="deliver it again, if there is a package of that version.",
        )
    return found


def _tasks(client: FlyteClient, workflow: identifier_pb2.Identifier) -> tuple[tasks_pb2.TaskTemplate, ...]:
    found = client.fetch(workflow)
    assert isinstance(found, workflow_pb2.Workflow), "a launch plan is registered after its workflow"
    return tuple(task.template for task in found.closure.compiled_workflow.tasks)


def _code_of(task: tasks_pb2.TaskTemplate) -> Iterator[str]:
    args = list(task.container.args)
    if task.HasField("k8s_pod"):
        pod = json_format.MessageToDict(task.k8s_pod.pod_spec)
        args += [argument for container in pod.get("containers", []) for argument in container.get("args", [])]
    for option, value in itertools.pairwise(args):
        if option == _CODE_OPTION:
            yield value


def _document(uri: str) -> Mapping[str, Any]:  # Any: JSON
    try:
        with scratch_folder() as scratch:
            content = json.loads(fetch_file(uri, Path(scratch)).read_text(encoding="utf-8"))
    except (ReproductionError, ValueError, OSError):  # it tells more about the origin, and decides nothing
        return {}
    return content if isinstance(content, dict) else {}

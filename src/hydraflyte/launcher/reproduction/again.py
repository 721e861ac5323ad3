"""A recorded execution -> the request that runs the same again, and what is checked before it is sent.

One rule: everything that decides a result is copied as it is stored; what says where it belonged (its sweep, its
notifications) is left out.
"""

from __future__ import annotations

import secrets

from flyteidl.admin import execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2

from hydraflyte import labels
from hydraflyte.errors import ReproductionError
from hydraflyte.launcher.execute import JobIdentity, execution_name
from hydraflyte.launcher.literal_uris import local_path
from hydraflyte.launcher.provenance import PREFIX, this_call
from hydraflyte.launcher.reproduction.differences import Present
from hydraflyte.launcher.reproduction.interpreters import installed_for
from hydraflyte.launcher.reproduction.places import changed_at, uris_in
from hydraflyte.launcher.reproduction.recorded import Recorded

REPRODUCES = f"{PREFIX}reproduces"
"""Annotation: the execution that this one is to be the same as."""
_OF_ITS_SWEEP = (labels.SWEEP, labels.JOB, labels.ROUND)


def look_around(recorded: Recorded, *, python: str | None, uses_cache: bool) -> Present:
    """Return what is there now of what the execution used.

    Args:
        python: the interpreter that will run it; None if containers will.
    """
    uris = list(dict.fromkeys(uri for _, uri in uris_in(recorded.inputs)))
    paths = {uri: local_path(uri) for uri in uris}
    return Present(
        python=python,
        installed=None if python is None else installed_for(python),
        changes={uri: changed_at(path) for uri, path in paths.items() if path is not None},
        elsewhere=tuple(uri for uri, path in paths.items() if path is None),
        uses_cache=uses_cache,
    )


def refuse_what_is_gone(recorded: Recorded, present: Present) -> None:
    """Check that the execution can begin at all.

    Raises:
        ReproductionError: its code, an input or its interpreter is gone; names all of them.
    """
    paths = {uri: local_path(uri) for uri in recorded.code_uris}
    gone = [f"the code bundle {uri}" for uri, path in paths.items() if path is not None and not path.is_file()]
    gone += [f"the input {uri}" for uri, instant in present.changes.items() if instant is None]
    if present.python is not None and present.installed is None:
        gone.append(f"the interpreter {present.python}")
    if gone:
        lines = "\n".join(f"  - {each}" for each in gone)
        raise ReproductionError(
            f"The execution {recorded.name} cannot be run again; these are gone:\n{lines}",
            hint="bring them back to where they were; --into DIR still writes what is known.",
        )


def request_again(recorded: Recorded, *, overwrite_cache: bool) -> execution_pb2.ExecutionCreateRequest:
    """Return the request of an execution of the same launch plan, with the same inputs and settings."""
    before = recorded.execution
    identity = JobIdentity(sweep_id=f"r{secrets.token_hex(5)}", number=0, overrides=recorded.overrides)
    request = execution_pb2.ExecutionCreateRequest(
        project=before.id.project,
        domain=before.id.domain,
        name=execution_name(recorded.entity_name, identity),
        inputs=_given_inputs(recorded),
        spec=before.spec,
    )
    spec = request.spec
    spec.ClearField("inputs")
    spec.disable_all = True  # nobody is told of an end that has been told, by the launch plan neither
    spec.ClearField("metadata")
    spec.metadata.mode = execution_pb2.ExecutionMetadata.RELAUNCH
    spec.metadata.principal = "hydraflyte"
    spec.metadata.reference_execution.CopyFrom(before.id)
    spec.overwrite_cache = overwrite_cache
    for label in _OF_ITS_SWEEP:
        spec.labels.values.pop(label, None)
    spec.annotations.values.pop(labels.FOLDER, None)
    spec.annotations.values.update(this_call().annotations())
    spec.annotations.values[REPRODUCES] = f"{before.id.project}/{before.id.domain}/{before.id.name}"
    return request


def interpreter_of(recorded: Recorded, backend_python: str | None) -> str | None:
    """Return the interpreter that the tasks will run in; None if containers will run them.

    Args:
        backend_python: that of the embedded backend, for tasks that name none; None if the backend is a cluster.
    """
    return None if backend_python is None else recorded.interpreter or backend_python


def _given_inputs(recorded: Recorded) -> literals_pb2.LiteralMap:
    """Return the inputs that may be given: those that the launch plan fixes are not among them."""
    wanted = recorded.launch_plan.closure.expected_inputs.parameters
    given = literals_pb2.LiteralMap()
    for name in recorded.inputs.literals:
        if name in wanted:
            given.literals[name].CopyFrom(recorded.inputs.literals[name])
    return given


def identifier_of_execution(project: str, domain: str, name: str) -> identifier_pb2.WorkflowExecutionIdentifier:
    """Return the identifier of an execution."""
    return identifier_pb2.WorkflowExecutionIdentifier(project=project, domain=domain, name=name)

"""Registration + inputs -> Submission: one Flyte execution for one job.

Names are made from the sweep and the job's number alone, so that a call repeated after a lost answer starts
nothing twice. Literals are flytekit's; knows nothing of Hydra but a job's number and overrides.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from flyteidl.admin import common_pb2, execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.interface import Interface
from flytekit.core.type_engine import TypeEngine
from flytekit.models.literals import LiteralMap

from hydraflyte import labels
from hydraflyte.errors import BackendRefusedError, ExecutionError, InputsError
from hydraflyte.launcher.handles import execution_link
from hydraflyte.launcher.inputs import REQUIRED, JobInputs, Parameter, describe, optional_of
from hydraflyte.launcher.redaction import shown_overrides
from hydraflyte.launcher.remote import FlyteClient

_LONGEST_STEM = 28
"""Execution names are cut off by nobody: 63 is the most, and pods' names add to them (Kubernetes allows 63 too)."""
_LONGEST_VALUE = 60
_PLAIN_TYPES = frozenset({str, int, float, bool, list, dict, datetime, date, timedelta})
"""Of whose misfits flytekit speaks in terms of its own insides."""
_CORRECT_THE_CONFIG = "change the value in the config or the parameter's type in the workflow."


@dataclass(frozen=True, slots=True, kw_only=True)
class JobIdentity:
    """What tells one job of one sweep from all others.

    Attributes:
        sweep_id: letters and digits, the same for every job of the launch.
        round: 0 for its first execution, one more each time it is submitted anew.
        folder: host and folder of the sweep's manifest.
    """

    sweep_id: str
    number: int
    overrides: tuple[str, ...]
    round: int = 0
    folder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """What a job is started with, beside its inputs.

    Attributes:
        launch_plan: the registered launch plan to execute; jobs of one sweep may have different ones.
        annotations: where the code and the call came from, shown on the execution.
        notifications: who is told of the execution's end.
    """

    launch_plan: identifier_pb2.Identifier
    annotations: Mapping[str, str] = field(default_factory=dict)
    notifications: tuple[common_pb2.Notification, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that has become an execution.

    Attributes:
        found_phase: phase in which an earlier launch left it; empty if it has just been started.
    """

    number: int
    execution: identifier_pb2.WorkflowExecutionIdentifier
    link: str
    found_phase: str = ""


def parameters_of(interface: Interface) -> tuple[Parameter, ...]:
    """Return the parameters of a workflow's Python interface, in order.

    flytekit writes a missing default as None; for an optional parameter that is a default, as it is for Flyte.
    """
    return tuple(
        Parameter(name=name, type=annotation, default=REQUIRED if _has_no_default(annotation, default) else default)
        for name, (annotation, default) in interface.inputs_with_defaults.items()
    )


def to_literals(inputs: JobInputs, *, hint: str = _CORRECT_THE_CONFIG) -> literals_pb2.LiteralMap:
    """Return the inputs as flytekit's literals.

    Args:
        hint: what the one who gave them can do about a value that does not fit.

    Raises:
        InputsError: flytekit cannot turn a value into a literal; names every such input.
    """
    context = FlyteContextManager.current_context()
    literals = {}
    problems = []
    for name, value in inputs.values.items():
        try:
            converted: LiteralMap = TypeEngine.dict_to_literal_map(context, {name: value}, dict(inputs.types))
            literals.update(converted.to_flyte_idl().literals)
        except (TypeError, ValueError, AssertionError, KeyError, AttributeError) as error:
            problems.append(_misfit(name, value, inputs.types[name], error))
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise InputsError(f"These inputs do not fit:\n{lines}", hint=hint)
    return literals_pb2.LiteralMap(literals=literals)


def _misfit(name: str, value: Any, annotation: Any, error: Exception) -> str:  # Any: the user's own
    """Return what is wrong with a value: flytekit's words, unless its plain type tells it better."""
    wanted = typing.get_origin(annotation) or annotation
    if wanted in _PLAIN_TYPES and not isinstance(value, wanted):
        shown = repr(value) if len(repr(value)) <= _LONGEST_VALUE else f"{repr(value)[: _LONGEST_VALUE - 1]}…"
        return f"{name} must be {describe(annotation)}, got {shown} ({type(value).__name__})"
    return f"{name} ({describe(annotation)}): {str(error).strip() or type(error).__name__}"


def from_literals(outputs: literals_pb2.LiteralMap, interface: Interface) -> Any:  # Any: the user's own values
    """Return the outputs as the workflow returns them in Python: the value, a named tuple of them, or None.

    Raises:
        ExecutionError: flytekit cannot read an output on this machine.
    """
    types = dict(interface.outputs)
    if not types:
        return None
    context = FlyteContextManager.current_context()
    try:
        values = TypeEngine.literal_map_to_kwargs(context, LiteralMap.from_flyte_idl(outputs), types)
    except (TypeError, ValueError, AssertionError, KeyError, AttributeError, OSError) as error:
        raise ExecutionError(
            f"The execution succeeded, but its outputs cannot be read here: {error}",
            hint="the outputs are kept; return plain values, or read them where their files can be reached.",
        ) from error
    if len(types) == 1 and not interface.output_tuple_name:
        return next(iter(values.values()))
    return interface.output_tuple(**values)


def execution_request(
    order: JobOrder,
    identity: JobIdentity,
    inputs: literals_pb2.LiteralMap,
    environment: Mapping[str, str],
) -> execution_pb2.ExecutionCreateRequest:
    """Return the request that starts the job.

    Args:
        environment: variables for every task of the execution (``hydra.job.env_set``).
    """
    launch_plan = order.launch_plan
    request = execution_pb2.ExecutionCreateRequest(
        project=launch_plan.project,
        domain=launch_plan.domain,
        name=execution_name(launch_plan.name, identity),
        inputs=inputs,
    )
    spec = request.spec
    spec.launch_plan.CopyFrom(launch_plan)
    spec.metadata.mode = execution_pb2.ExecutionMetadata.MANUAL
    spec.metadata.principal = "hydraflyte"
    spec.notifications.SetInParent()  # as flytekit sends it; without our own, those of the launch plan count
    spec.notifications.notifications.extend(order.notifications)
    spec.labels.values.update(_labels(launch_plan, identity))
    spec.annotations.values.update(order.annotations)
    spec.annotations.values.update(_annotations(identity, inputs))
    for key, value in environment.items():
        spec.envs.values.add(key=key, value=value)
    return request


def submit(client: FlyteClient, number: int, request: execution_pb2.ExecutionCreateRequest) -> Submission:
    """Start the execution of one job.

    Raises:
        ExecutionError: the backend does not accept it.
    """
    try:
        execution = client.create_execution(request)
    except BackendRefusedError as error:
        raise ExecutionError(f"Job {number} was not accepted: {error.message}", hint=error.hint) from error
    return Submission(number=number, execution=execution, link=execution_link(client.endpoint.console_url, execution))


def execution_name(workflow_name: str, identity: JobIdentity) -> str:
    """Return a name that Flyte accepts (``[a-z][a-z0-9-]*``, at most 63 characters) and people can read.

    Example:
        >>> execution_name("train.fit_model", JobIdentity(sweep_id="k3f09a", number=2, overrides=()))
        'fit-model-k3f09a-2'
        >>> execution_name("fit", JobIdentity(sweep_id="k3f09a", number=2, overrides=(), round=1))
        'fit-k3f09a-2-r1'
    """
    last = re.sub(r"[^a-z0-9]+", "-", workflow_name.rpartition(".")[2].lower()).strip("-")
    stem = last[:_LONGEST_STEM].strip("-")
    stem = stem if stem[:1].isalpha() else f"w{stem}"
    again = f"-r{identity.round}" if identity.round else ""
    return f"{stem}-{identity.sweep_id}-{identity.number}{again}"


def _has_no_default(annotation: Any, default: Any) -> bool:  # Any: the user's own
    return default is None and optional_of(annotation) is None


def _labels(launch_plan: identifier_pb2.Identifier, identity: JobIdentity) -> dict[str, str]:
    marks = {
        labels.SWEEP: identity.sweep_id,
        labels.JOB: str(identity.number),
        labels.ROUND: str(identity.round),
        labels.VERSION: launch_plan.version,
    }
    return {key: labels.label_value(value) for key, value in marks.items()}


def _annotations(identity: JobIdentity, inputs: literals_pb2.LiteralMap) -> dict[str, str]:
    notes = {
        labels.OVERRIDES: labels.join_overrides(shown_overrides(identity.overrides)),
        labels.INPUTS: labels.digest_of(inputs),
        labels.FOLDER: identity.folder,
    }
    return {key: note for key, note in notes.items() if note}

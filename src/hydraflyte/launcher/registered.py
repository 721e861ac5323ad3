"""A launch plan that is registered already: found by its version, and its interface in Python's terms.

One rule: what is registered counts, not the code at hand; where both say the same, the code says it more precisely.
Sends nothing and changes nothing.
"""

from __future__ import annotations

import datetime
import itertools
import typing
from collections.abc import Mapping
from typing import Any

from flyteidl.admin import launch_plan_pb2
from flyteidl.core import identifier_pb2, interface_pb2, types_pb2
from flytekit.core.interface import Interface, transform_interface_to_typed_interface
from flytekit.core.type_engine import TypeEngine
from flytekit.models.types import LiteralType as LiteralTypeModel
from omegaconf import DictConfig

from hydraflyte.config import nearest
from hydraflyte.errors import InputsError, NotRegisteredError
from hydraflyte.launcher.derived import is_derived
from hydraflyte.launcher.inputs import REQUIRED, Parameter
from hydraflyte.launcher.register import find_launch_plan, launch_plan_id
from hydraflyte.launcher.remote import FlyteClient, LaunchPlanPlace

LATEST = "latest"
"""Stands for the version that was registered last."""
_GIVEN_BY_THE_LAUNCH_PLAN = None
_MOST_VERSIONS = 100
_NEWEST_NAMED = 5
_SIMPLE: Mapping[int, type[Any]] = {
    types_pb2.INTEGER: int,
    types_pb2.FLOAT: float,
    types_pb2.STRING: str,
    types_pb2.BOOLEAN: bool,
    types_pb2.DATETIME: datetime.datetime,
    types_pb2.DURATION: datetime.timedelta,
}


def find_version(client: FlyteClient, place: LaunchPlanPlace, version: str | None) -> launch_plan_pb2.LaunchPlan | None:
    """Return the launch plan of that version, or None; ``latest`` and None stand for the newest one.

    Versions that only carry the settings of a job (docs/decisions/0121) and schedules are never the newest.
    """
    if version not in (None, LATEST):
        identifier = launch_plan_id(place.name, project=place.project, domain=place.domain, version=str(version))
        return find_launch_plan(client, identifier)
    plans = client.launch_plans(place)
    return next((plan for plan in plans if not is_derived(plan) and not has_schedule(plan)), None)


def require_version(client: FlyteClient, place: LaunchPlanPlace, version: str | None) -> launch_plan_pb2.LaunchPlan:
    """Return the launch plan of that version; ``latest`` and None stand for the newest one.

    Raises:
        NotRegisteredError: there is none; names the nearest one that there is.
    """
    found = find_version(client, place, version)
    if found is not None:
        return found
    where = f"{place.project}/{place.domain}"
    plans = itertools.islice(client.launch_plans(place), _MOST_VERSIONS)
    versions = tuple(plan.id.version for plan in plans if not is_derived(plan))
    if versions:
        meant = nearest(str(version), versions)
        newest = ", ".join(versions[:_NEWEST_NAMED])
        raise NotRegisteredError(
            f"The launch plan {place.name} has no version {version} in {where}.",
            hint=f"did you mean {meant}?" if meant else f"its newest: {newest}.",
        )
    names = tuple({plan.id.name for plan in client.launch_plans(LaunchPlanPlace(place.project, place.domain))})
    near = nearest(place.name, names) or next((name for name in names if name.endswith(f".{place.name}")), None)
    raise NotRegisteredError(
        f"No launch plan {place.name} is registered in {where}.",
        hint=f"did you mean {near}?" if near else "register it with `python SCRIPT -m hydra.launcher.run=false`.",
    )


def has_schedule(launch_plan: launch_plan_pb2.LaunchPlan) -> bool:
    """Tell whether the launch plan is run by a schedule."""
    return launch_plan.spec.entity_metadata.schedule.WhichOneof("ScheduleExpression") is not None


def fits_the_code(launch_plan: launch_plan_pb2.LaunchPlan, interface: Interface) -> bool:
    """Tell whether a workflow's Python interface is the one that is registered."""
    typed: interface_pb2.TypedInterface = transform_interface_to_typed_interface(interface).to_flyte_idl()
    registered = launch_plan.closure
    inputs = {name: parameter.var.type for name, parameter in registered.expected_inputs.parameters.items()}
    outputs = {name: variable.type for name, variable in registered.expected_outputs.variables.items()}
    ours = {name: variable.type for name, variable in typed.inputs.variables.items()}
    our_outputs = {name: variable.type for name, variable in typed.outputs.variables.items()}
    return inputs == ours and outputs == our_outputs


def parameters_of_registered(expected: interface_pb2.ParameterMap) -> tuple[Parameter, ...]:
    """Return the parameters of a launch plan. One that it has a value for is not required, and its default is None."""
    return tuple(
        Parameter(
            name=name,
            type=python_type(parameter.var.type),
            default=REQUIRED if parameter.WhichOneof("behavior") != "default" else _GIVEN_BY_THE_LAUNCH_PLAN,
        )
        for name, parameter in sorted(expected.parameters.items())
    )


def interface_of(launch_plan: launch_plan_pb2.LaunchPlan) -> Interface:
    """Return the Python interface that a registered launch plan can be called by without its code."""
    outputs = launch_plan.closure.expected_outputs.variables
    return Interface(
        inputs={
            parameter.name: parameter.type
            for parameter in parameters_of_registered(launch_plan.closure.expected_inputs)
        },
        outputs={name: python_type(variable.type) for name, variable in sorted(outputs.items())},
    )


def python_type(literal_type: types_pb2.LiteralType) -> Any:  # Any: an annotation need not be a class
    """Return the annotation that a literal type is written and read by where the user's code is not installed.

    A structure without a schema is a config: it can be made of every dict.

    Raises:
        InputsError: there is none.
    """
    match literal_type.WhichOneof("type"):
        case "simple" if literal_type.simple in _SIMPLE:
            return _SIMPLE[literal_type.simple]
        case "simple" if literal_type.simple == types_pb2.STRUCT and not literal_type.metadata.fields:
            return DictConfig
        case "collection_type":
            return list[python_type(literal_type.collection_type)]  # type: ignore[misc]  # made at run time
        case "map_value_type":
            return dict[str, python_type(literal_type.map_value_type)]  # type: ignore[misc]  # made at run time
        case "enum_type":
            return str
        case "union_type":
            variants = list(literal_type.union_type.variants)
            members = tuple(
                type(None)
                if variant.simple == types_pb2.NONE and variant.WhichOneof("type") == "simple"
                else python_type(variant)
                for variant in variants
            )
            return typing.Union[members]  # noqa: UP007  # made at run time
    try:
        return TypeEngine.guess_python_type(LiteralTypeModel.from_flyte_idl(literal_type))
    except (ValueError, TypeError, AssertionError, KeyError, AttributeError) as error:
        text = " ".join(str(literal_type).split())
        raise InputsError(
            f"Values of the Flyte type {text[:200]} cannot be made without the code of the workflow.",
            hint="pass such an input through `connect().remote`, flytekit's own client.",
        ) from error


def text_of(identifier: identifier_pb2.Identifier) -> str:
    """Return a launch plan's name and version in words."""
    return f"{identifier.name} (version {identifier.version})"

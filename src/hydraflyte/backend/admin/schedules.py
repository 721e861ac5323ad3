"""What a launch plan's schedule may be (section 5.1 of Flyte's semantics). Pure; nothing is fired here."""

from __future__ import annotations

from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.core.interface_pb2 import ParameterMap
from flyteidl.core.types_pb2 import SimpleType

from hydraflyte.backend.admin.refusals import InvalidRequest
from hydraflyte.catch_up import CATCH_UP_ANNOTATION, CatchUp
from hydraflyte.errors import ScheduleError
from hydraflyte.fire_times import read_schedule


def schedule_type(spec: LaunchPlanSpec) -> str:
    """Return ``NONE``, ``CRON`` or ``RATE``: what lists of launch plans are filtered by."""
    kinds = {"cron_expression": "CRON", "cron_schedule": "CRON", "rate": "RATE", None: "NONE"}
    return kinds[spec.entity_metadata.schedule.WhichOneof("ScheduleExpression")]


def check_schedule(spec: LaunchPlanSpec, expected: ParameterMap) -> None:
    """Check the schedule, if there is one: it can be read, and it can run without anybody giving inputs.

    Raises:
        InvalidRequest: the expression is malformed, an input stays open, the time argument does not fit, or the
            annotation about missed fire times has an unknown value.
    """
    _check_catch_up(spec)
    schedule = spec.entity_metadata.schedule
    kind = schedule.WhichOneof("ScheduleExpression")
    if kind is None:
        return
    if kind != "cron_expression":  # flyteadmin stores those and refuses them when they are activated
        _check_readable(spec)
    argument = schedule.kickoff_time_input_arg
    if argument:
        _check_time_argument(argument, expected)
    for name, parameter in expected.parameters.items():
        if name != argument and parameter.WhichOneof("behavior") == "required" and parameter.required:
            raise InvalidRequest(f"a scheduled launch plan needs a default or fixed value for input {name!r}")


def check_activation(spec: LaunchPlanSpec) -> None:
    """Check that the schedule, if there is one, can be fired.

    Raises:
        InvalidRequest: it is written in the older syntax that no scheduler reads.
    """
    if schedule_type(spec) != "NONE":
        _check_readable(spec)


def _check_readable(spec: LaunchPlanSpec) -> None:
    try:
        read_schedule(spec.entity_metadata.schedule)
    except ScheduleError as error:
        raise InvalidRequest(f"{error.message} {error.hint}") from error


def _check_catch_up(spec: LaunchPlanSpec) -> None:
    chosen = spec.annotations.values.get(CATCH_UP_ANNOTATION)
    known = [each.value for each in CatchUp]
    if chosen is not None and chosen not in known:
        raise InvalidRequest(f"annotation {CATCH_UP_ANNOTATION} is {chosen!r}; it may be {', '.join(known)}")


def _check_time_argument(argument: str, expected: ParameterMap) -> None:
    if argument not in expected.parameters:
        raise InvalidRequest(f"the schedule's kickoff time argument {argument!r} is not an open input")
    if expected.parameters[argument].var.type.simple != SimpleType.DATETIME:
        raise InvalidRequest(f"the schedule's kickoff time argument {argument!r} must be of type datetime")

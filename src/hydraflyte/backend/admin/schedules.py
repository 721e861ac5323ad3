"""What a launch plan's schedule may be (section 5.1 of Flyte's semantics). Pure; nothing is fired here."""

from __future__ import annotations

import re

from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.admin.schedule_pb2 import FixedRateUnit
from flyteidl.core.interface_pb2 import ParameterMap
from flyteidl.core.types_pb2 import SimpleType

from hydraflyte.backend.admin.refusals import InvalidRequest

_DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_EVERY = re.compile(r"@every (\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+")
_CRON_FIELD = re.compile(r"(\*|\?|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?")


def schedule_type(spec: LaunchPlanSpec) -> str:
    """Return ``NONE``, ``CRON`` or ``RATE``: what lists of launch plans are filtered by."""
    kinds = {"cron_expression": "CRON", "cron_schedule": "CRON", "rate": "RATE", None: "NONE"}
    return kinds[spec.entity_metadata.schedule.WhichOneof("ScheduleExpression")]


def check_schedule(spec: LaunchPlanSpec, expected: ParameterMap) -> None:
    """Check the schedule, if there is one: it parses, and it can run without anybody giving inputs.

    Raises:
        InvalidRequest: the expression is malformed, an input stays open, or the time argument does not fit.
    """
    schedule = spec.entity_metadata.schedule
    kind = schedule.WhichOneof("ScheduleExpression")
    if kind is None:
        return
    if kind == "cron_schedule" and not _is_cron(schedule.cron_schedule.schedule):
        raise InvalidRequest(f"{schedule.cron_schedule.schedule!r} is not a cron schedule of five fields")
    if kind == "rate" and (schedule.rate.value == 0 or schedule.rate.unit not in FixedRateUnit.values()):
        raise InvalidRequest("a fixed rate needs a value above 0 and a unit of MINUTE, HOUR or DAY")
    argument = schedule.kickoff_time_input_arg
    if argument:
        _check_time_argument(argument, expected)
    for name, parameter in expected.parameters.items():
        if name != argument and parameter.WhichOneof("behavior") == "required" and parameter.required:
            raise InvalidRequest(f"a scheduled launch plan needs a default or fixed value for input {name!r}")


def _check_time_argument(argument: str, expected: ParameterMap) -> None:
    if argument not in expected.parameters:
        raise InvalidRequest(f"the schedule's kickoff time argument {argument!r} is not an open input")
    if expected.parameters[argument].var.type.simple != SimpleType.DATETIME:
        raise InvalidRequest(f"the schedule's kickoff time argument {argument!r} must be of type datetime")


def _is_cron(text: str) -> bool:
    if text.startswith("@"):
        return text in _DESCRIPTORS or _EVERY.fullmatch(text) is not None
    fields = text.split()
    return len(fields) == 5 and all(_CRON_FIELD.fullmatch(part) for field in fields for part in field.split(","))

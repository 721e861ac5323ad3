"""Values and overrides -> the inputs of a registered launch plan, without the code of its workflow.

One rule: a config is fitted to the interface as the launcher fits one, so the same keys go to the same inputs. What
neither values nor overrides speak of is left to the launch plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flyteidl.admin import launch_plan_pb2
from flyteidl.core import literals_pb2
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.models.literals import Literal
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydraflyte.config import nearest
from hydraflyte.errors import InputsError
from hydraflyte.launcher.execute import to_literals
from hydraflyte.launcher.inputs import WHOLE_CONFIG_NAMES, JobInputs, Parameter, fit_inputs
from hydraflyte.launcher.overrides import apply_overrides
from hydraflyte.launcher.registered import parameters_of_registered


def inputs_of_registered(
    launch_plan: launch_plan_pb2.LaunchPlan,
    values: Mapping[str, Any],  # Any: the caller's own values
    overrides: Sequence[str],
    before: literals_pb2.LiteralMap | None = None,
) -> literals_pb2.LiteralMap:
    """Return the inputs of an execution.

    Args:
        values: input name -> Python value.
        overrides: in Hydra's grammar, on the registered default of the config; in a workflow without one, keys are
            names of inputs.
        before: inputs to start from instead of the launch plan's defaults.

    Raises:
        InputsError: a name is unknown, a value or an override does not fit, or an input has no value.
    """
    parameters = {
        parameter.name: parameter for parameter in parameters_of_registered(launch_plan.closure.expected_inputs)
    }
    _refuse_unknown(values, parameters)
    known = _known_literals(launch_plan, before)
    types = {name: parameter.type for name, parameter in parameters.items()}
    inputs = literals_pb2.LiteralMap()
    if before is not None:
        for name in before.literals:
            if name in parameters:
                inputs.literals[name].CopyFrom(before.literals[name])
    sent = dict(values)
    if overrides:
        sent.update(_overridden(parameters, known, values, overrides))
    given = to_literals(JobInputs(values=sent, types=types), hint="give each input a value of the type that it has.")
    for name, literal in given.literals.items():
        inputs.literals[name].CopyFrom(literal)
    _refuse_missing(parameters, {*inputs.literals, *known})
    return inputs


def _overridden(
    parameters: Mapping[str, Parameter],
    known: Mapping[str, literals_pb2.Literal],
    values: Mapping[str, Any],
    overrides: Sequence[str],
) -> dict[str, Any]:  # Any: the caller's own values
    """Return the inputs that the overrides decide."""
    whole = next(
        (name for name in WHOLE_CONFIG_NAMES if name in parameters and parameters[name].type is DictConfig), None
    )
    open_parameters = [parameter for name, parameter in parameters.items() if name not in values or name == whole]
    if whole is not None:
        config = _config(values.get(whole), known.get(whole))
    else:
        config = OmegaConf.create(
            {each.name: _python(known[each.name], each.type) for each in open_parameters if each.name in known},
            flags={"allow_objects": True},
        )
        config = _with_places(config, open_parameters)
    if whole is not None and whole not in config:
        _refuse_its_name(config, whole, overrides)
    config = apply_overrides(config, overrides)
    touched = {_first_key(override) for override in overrides}
    decided = [
        each
        for each in open_parameters  # a whole config may have a key without a value for an input that has one
        if whole in (None, each.name) or each.name in touched or each.name not in known
    ]
    fitted = fit_inputs(config, decided)
    return {
        name: value
        for name, value in fitted.values.items()
        if name == whole or name in touched or (name not in known and value is not None)
    }


def _with_places(config: DictConfig, parameters: Sequence[Parameter]) -> DictConfig:
    """Give every input a key, so that `name=value` needs no plus sign."""
    for parameter in parameters:
        if parameter.name not in config:
            config[parameter.name] = "???"
    return config


def _config(value: Any, default: literals_pb2.Literal | None) -> DictConfig:  # Any: the caller's own value
    try:
        if value is not None:
            return value if isinstance(value, DictConfig) else OmegaConf.create(value)
        config = OmegaConf.create({}) if default is None else _python(default, DictConfig)
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        raise InputsError(
            f"No config can be made of the value: {error}", hint="give a dict or a DictConfig."
        ) from error
    assert isinstance(config, DictConfig)
    return config


def _known_literals(
    launch_plan: launch_plan_pb2.LaunchPlan, before: literals_pb2.LiteralMap | None
) -> dict[str, literals_pb2.Literal]:
    expected = launch_plan.closure.expected_inputs.parameters
    known = {
        name: parameter.default for name, parameter in expected.items() if parameter.WhichOneof("behavior") == "default"
    }
    if before is not None:
        known.update({name: before.literals[name] for name in before.literals if name in expected})
    return known


def _python(literal: literals_pb2.Literal, annotation: Any) -> Any:  # Any: an annotation, and a value of it
    context = FlyteContextManager.current_context()
    return TypeEngine.to_python_value(context, Literal.from_flyte_idl(literal), annotation)


def _first_key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition(".")[0]


def _refuse_its_name(config: DictConfig, whole: str, overrides: Sequence[str]) -> None:
    """Check that no override names the input that the config is: keys are those within it."""
    for override in overrides:
        key, _, value = override.partition("=")
        sign = key[: len(key) - len(key.lstrip("+~"))]
        name, _, rest = key.lstrip("+~").partition(".")
        if name != whole:
            continue
        assignment = f"={value}" if value else ""
        raise InputsError(
            f"The override {override} does not fit: {whole} is the config itself",
            hint=f"write {sign}{rest}{assignment}."
            if rest
            else f"override its keys, such as {next(map(str, config), 'key')}=….",
        )


def _refuse_unknown(values: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> None:
    unknown = [name for name in values if name not in parameters]
    if unknown:
        meant = nearest(unknown[0], tuple(parameters))
        raise InputsError(
            f"The launch plan has no input {unknown[0]!r}; its inputs are {', '.join(parameters) or '(none)'}.",
            hint=f"did you mean {meant!r}?" if meant else "a key of its config is set with overrides=['key=value'].",
        )


def _refuse_missing(parameters: Mapping[str, Parameter], present: set[str]) -> None:
    missing = [name for name, parameter in parameters.items() if parameter.is_required and name not in present]
    if missing:
        raise InputsError(
            f"The launch plan needs a value for {', '.join(missing)}.", hint=f"give inputs={{{missing[0]!r}: …}}."
        )

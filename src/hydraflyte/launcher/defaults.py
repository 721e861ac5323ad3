"""What the program's own config, without the overrides of a call, gives to the workflow's inputs.

One rule: defaults follow the code and its config files alone, so that every launch of the same tree has the same ones.
They are registered with the launch plan, for whoever runs it later without the code.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyteidl.core import literals_pb2
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from hydraflyte.errors import HydraFlyteError
from hydraflyte.launcher.execute import to_literals
from hydraflyte.launcher.inputs import JobInputs, Parameter, fit_defaults
from hydraflyte.launcher.jobs import LaunchRequest
from hydraflyte.launcher.literal_uris import is_local


def default_inputs(request: LaunchRequest, parameters: Sequence[Parameter]) -> literals_pb2.LiteralMap:
    """Return the inputs that the program's own config has a fitting value for; the others are left out."""
    return fitting_inputs(_own_config(request), parameters)


def fitting_inputs(config: DictConfig, parameters: Sequence[Parameter]) -> literals_pb2.LiteralMap:
    """Return the inputs that a config, without the ``hydra`` node, has a fitting value for; the others are left out."""
    fitted = fit_defaults(config, parameters)
    defaults = literals_pb2.LiteralMap()
    for name, value in fitted.values.items():
        try:
            literal = to_literals(JobInputs(values={name: value}, types=fitted.types)).literals[name]
        except HydraFlyteError:  # what cannot travel is no default; a job that gives it is told why
            continue
        if is_local(literal):  # flytekit has copied a file to a place of its own, another one in every launch
            continue
        defaults.literals[name].CopyFrom(literal)
    return defaults


def _own_config(request: LaunchRequest) -> DictConfig:
    try:
        config: DictConfig = request.hydra_context.config_loader.load_sweep_config(request.config, [])
    except (HydraException, OmegaConfBaseException):  # a config group that has to be chosen, for example
        return OmegaConf.create({})
    with read_write(config), open_dict(config):
        del config["hydra"]
    return config

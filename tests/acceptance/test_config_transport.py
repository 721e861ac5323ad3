"""Configs of every kind survive a real execution: encoded here, read and written by task processes, read here again."""

import sys
from typing import List  # noqa: UP035

import config_flows
from config_strategies import fixed_schema_configs, plain_configs
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

import hydraflyte.transport.plugin  # noqa: F401  # what flytekit's entry point loads in an installed package

COUNT = 400


def made_up_configs():
    """Let Hypothesis make up configs, the same ones in every run."""
    configs = []

    @settings(
        max_examples=COUNT,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(config=st.one_of(plain_configs(), fixed_schema_configs()))
    def collect(config):
        configs.append(config)

    collect()
    return configs


def test_made_up_configs_survive_an_execution(remote):
    sys.set_int_max_str_digits(0)
    configs = made_up_configs()
    inputs = {
        "configs": configs,
        "yamls": [OmegaConf.to_yaml(config) for config in configs],
        "schemas": [OmegaConf.get_type(config).__qualname__ for config in configs],
    }

    registered = remote.register_script(
        config_flows.there_and_back, source_path=config_flows.__file__.rpartition("/")[0], module_name="config_flows"
    )
    hints = {"configs": List[DictConfig], "yamls": List[str], "schemas": List[str]}  # noqa: UP006
    execution = remote.execute(registered, inputs=inputs, type_hints=hints, wait=True)

    assert execution.error is None
    assert len(configs) == COUNT
    assert execution.outputs.get("differing", as_type=List[str]) == []  # noqa: UP006
    found = execution.outputs.get("configs", as_type=List[DictConfig])  # noqa: UP006
    assert all(one == other or other != other for one, other in zip(found, configs, strict=True))  # NaN
    assert [OmegaConf.to_yaml(config) for config in found] == inputs["yamls"]
    assert [OmegaConf.get_type(config) for config in found] == [OmegaConf.get_type(config) for config in configs]


def test_the_backend_resolves_attributes_of_a_config(run):
    execution = run(config_flows.attributes)

    assert execution.error is None
    assert execution.outputs == {"o0": 10}

"""Configs as inputs and outputs of tasks: each is looked at in the task, passed on, and given back."""

import sys
from typing import NamedTuple

import config_schemas
from flytekit import task, workflow
from omegaconf import DictConfig, ListConfig, OmegaConf

sys.set_int_max_str_digits(0)  # some configs have very large numbers, and YAML prints all their digits
assert config_schemas.Training  # the schemas are loaded before configs are read


class Found(NamedTuple):
    configs: list[DictConfig]
    differing: list[str]


@task
def look_at(configs: list[DictConfig], yamls: list[str], schemas: list[str]) -> Found:
    """Compare every config with its YAML and its schema as they were before the trip."""
    differing = []
    for config, text, schema in zip(configs, yamls, schemas, strict=True):
        found = OmegaConf.to_yaml(config), OmegaConf.get_type(config).__qualname__
        if found != (text, schema):
            differing.append(f"{found} instead of {(text, schema)}")
    return Found(configs, differing)


@task
def give_back(configs: list[DictConfig]) -> list[DictConfig]:
    return configs


@task
def widths(layer: DictConfig, items: ListConfig) -> int:
    return int(layer.width) + len(items)


@workflow
def there_and_back(configs: list[DictConfig], yamls: list[str], schemas: list[str]) -> Found:
    found = look_at(configs=configs, yamls=yamls, schemas=schemas)
    return give_back(configs=found.configs), found.differing


@task
def make() -> DictConfig:
    return OmegaConf.structured(config_schemas.Training(numbers=[1, 2, 3], layer=config_schemas.Layer(width=7)))


@workflow
def attributes() -> int:
    """Pass parts of a config on as attributes of a promise, which the backend resolves."""
    config = make()
    return widths(layer=config.layer, items=config.numbers)

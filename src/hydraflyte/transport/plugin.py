"""flytekit's plugin entry point: importing this module registers the transformers and reads the environment.

That import has an effect because flytekit only loads what the entry point names (``load_implicit_plugins``). The older
plugin is imported first, so that a script which imports it later finds it loaded and registers nothing again.
"""

from __future__ import annotations

import os

from flytekit.extend import TypeEngine
from flytekitplugins.omegaconf.dictconfig_transformer import DictConfigTransformer
from flytekitplugins.omegaconf.listconfig_transformer import ListConfigTransformer
from omegaconf import DictConfig, ListConfig

from hydraflyte.transport.nodes import TupleConfig
from hydraflyte.transport.settings import HYDRA_JOB_VARIABLE, configure, settings_from_environment
from hydraflyte.transport.transformers import ConfigTransformer


def register() -> None:
    """Take over OmegaConf's containers in flytekit's type engine. Doing it again changes nothing."""
    transformers = [
        ConfigTransformer(name="OmegaConf DictConfig", config_class=DictConfig, older=DictConfigTransformer()),
        ConfigTransformer(name="OmegaConf ListConfig", config_class=ListConfig, older=ListConfigTransformer()),
    ]
    if TupleConfig is not None:
        transformers.append(ConfigTransformer(name="OmegaConf TupleConfig", config_class=TupleConfig))
    for transformer in transformers:
        TypeEngine.register_additional_type(transformer, transformer.python_type, override=True)


def read_environment() -> None:
    """Take over what the environment says: the settings and, in a task, the job of Hydra that it belongs to.

    To be called again where a process got another environment since this module was imported.

    Raises:
        TransportError: a setting is not known, or the job's variable is damaged.
    """
    configure(settings_from_environment(os.environ))
    if HYDRA_JOB_VARIABLE in os.environ:
        from hydraflyte.transport.hydra_job import restore_hydra_job  # imports Hydra, which other programs do without

        restore_hydra_job(os.environ[HYDRA_JOB_VARIABLE])


register()
read_environment()

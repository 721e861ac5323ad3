"""A job's Hydra side travels to its tasks: ``HydraConfig``, Hydra's resolvers, the frozen ``${now:}``, the logging.

Written by the launcher into one variable of the execution's environment, read where flytekit starts a task. The rule:
code of the user sees in a task what it sees in a local run. The one difference is meant: what the logging configuration
writes to files goes to the streams alone, since the job's folder is on the machine that launched.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
import zlib
from collections.abc import Mapping
from datetime import datetime
from inspect import signature
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobRuntime, configure_log, setup_globals
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ValidationError

from hydraflyte.transport.encode import encode
from hydraflyte.transport.errors import damaged
from hydraflyte.transport.settings import HYDRA_JOB_VARIABLE, Resolve, TransportSettings

_LEFT_BEHIND = ("launcher", "sweeper", "callbacks")  # what no job's code asks for, and may name secrets
_MOST_BYTES = 4_000_000
_FILE_HANDLERS = ("logging.FileHandler", "logging.handlers.")


def pack_hydra_job(config: DictConfig, *, name: str, now: datetime) -> str:
    """Return the value of :data:`HYDRA_JOB_VARIABLE` for a job.

    Args:
        config: the job's whole config, with its ``hydra`` node; ``HydraConfig`` must speak of it.
        name: the job's name, as ``JobRuntime`` has it.
        now: when the job was launched, in local time; what ``${now:}`` has not been asked before is answered by it.

    Raises:
        TransportError: the ``hydra`` node holds something that cannot travel.
    """
    node = OmegaConf.masked_copy(config.hydra, [key for key in config.hydra if key not in _LEFT_BEHIND])
    node._set_parent(config)  # its interpolations may lead into the user's part, as HydraConfig has it
    content = {
        "hydra": encode(node, TransportSettings(resolve=Resolve.POSSIBLE)).tree,
        "now": [[*pattern, text] for pattern, text in OmegaConf.get_cache(config)["now"].items()],
        "launched": now.isoformat(),
        "name": name,
    }
    return base64.b64encode(zlib.compress(json.dumps(content).encode())).decode("ascii")


def restore_hydra_job(packed: str) -> None:
    """Make this process the job's: sets ``HydraConfig``, registers resolvers, configures logging.

    Args:
        packed: the value of :data:`HYDRA_JOB_VARIABLE`.

    Raises:
        TransportError: it is damaged.
    """
    content = _unpack(packed)
    setup_globals()
    _freeze_now({tuple(entry[:-1]): entry[-1] for entry in content["now"]}, datetime.fromisoformat(content["launched"]))
    JobRuntime.instance().set("name", content["name"])
    HydraConfig.instance().set_config(_with_hydra_node(content["hydra"]))
    _configure_logging()


def unpack_hydra_job(packed: str) -> object:
    """Return Hydra's node of a job as a plain tree, for people to read.

    Raises:
        TransportError: it is damaged.
    """
    return _unpack(packed)["hydra"]


def _unpack(text: str) -> dict[str, Any]:
    try:
        packed = base64.b64decode(text, validate=True)
        content = json.loads(zlib.decompressobj().decompress(packed, _MOST_BYTES))
    except (binascii.Error, zlib.error, ValueError) as error:
        raise damaged(f"the variable {HYDRA_JOB_VARIABLE}: {error}") from error
    if not isinstance(content, dict) or content.keys() < {"hydra", "now", "launched", "name"}:
        raise damaged(f"the variable {HYDRA_JOB_VARIABLE}: keys are missing")
    return content


def _freeze_now(known: Mapping[tuple[str, ...], str], launched: datetime) -> None:
    """Let ``${now:}`` say what it said where the job was launched (hydra/core/utils.py, ``setup_globals``)."""

    def now(pattern: str) -> str:
        return known.get((pattern,)) or launched.strftime(pattern)

    register: Any = OmegaConf.register_resolver  # of OmegaConf 2.4; the older one of this name cannot replace
    if "replace" not in signature(register).parameters:
        register = OmegaConf.register_new_resolver
    register("now", now, replace=True)


def _with_hydra_node(tree: object) -> DictConfig:
    config = OmegaConf.create({"hydra": OmegaConf.structured(HydraConf)})
    OmegaConf.set_struct(config.hydra, False)  # YAML files have added keys, and the launching Hydra may be newer
    merged = _merged(config, {"hydra": copy.deepcopy(tree)})
    OmegaConf.set_struct(merged.hydra, True)
    return merged


def _merged(config: DictConfig, tree: dict[str, Any]) -> DictConfig:  # Any: JSON
    """Return the two merged, without values that this Hydra has other types for (1.3's ``chdir: null`` in 1.4)."""
    while True:
        try:
            merged = OmegaConf.merge(config, tree)
        except ValidationError as error:
            if not _drop(tree, str(error.full_key or "")):
                raise
        else:
            assert isinstance(merged, DictConfig)
            return merged


def _drop(tree: dict[str, Any], key: str) -> bool:  # Any: JSON
    """Remove a dotted key; returns whether it was there."""
    *parents, last = key.split(".")
    node: Any = tree  # Any: JSON
    for parent in parents:
        node = node.get(parent) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        return False
    del node[last]
    return True


def _configure_logging() -> None:
    hydra = HydraConfig.get()
    if hydra.job_logging is None:
        configure_log(None, hydra.verbose)
        return
    logging_config = OmegaConf.to_container(hydra.job_logging, resolve=True)
    assert isinstance(logging_config, dict)
    configure_log(OmegaConf.create(_without_files(logging_config)), hydra.verbose)


def _without_files(config: dict[Any, Any]) -> dict[Any, Any]:
    """Return the logging configuration without the handlers that write to files."""
    handlers = config.get("handlers") or {}
    kept = {name: handler for name, handler in handlers.items() if not _writes_file(handler)}
    loggers = config.get("loggers") or {}
    return {
        **config,
        "handlers": kept,
        "root": _only(config.get("root"), kept),
        "loggers": {name: _only(logger, kept) for name, logger in loggers.items()},
    }


def _writes_file(handler: Mapping[Any, Any]) -> bool:
    return str(handler.get("class", "")).startswith(_FILE_HANDLERS) and "filename" in handler


def _only(logger: Any, kept: Mapping[Any, Any]) -> Any:
    if not isinstance(logger, dict) or "handlers" not in logger:
        return logger
    return {**logger, "handlers": [name for name in logger["handlers"] if name in kept]}

"""Configs as literals: ours against flytekitplugins-omegaconf and against OmegaConf's own way to plain data and back.

One process, turns alternate. Every way goes there and back: to the bytes of a Flyte literal and to a config again;
OmegaConf's own is ``to_container``, msgpack, ``create``, which keeps neither types nor flags.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import field, make_dataclass
from typing import Any

import msgpack
from flyteidl.core import literals_pb2
from flytekit import FlyteContextManager
from flytekit.extend import TypeEngine
from flytekit.models.literals import Literal
from flytekitplugins.omegaconf.dictconfig_transformer import DictConfigTransformer
from flytekitplugins.omegaconf.listconfig_transformer import ListConfigTransformer
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from measuring import report, summary
from omegaconf import DictConfig, OmegaConf

from hydraflyte.transport.plugin import register

TURNS = 15
JOBS = 100
LIMITS = {
    "times_faster_than_plugin_1000": 5.0,
    "times_faster_than_plugin_50": 4.0,
    "times_of_omegaconf_own_1000": 1.3,
    "times_smaller_than_plugin_1000": 8.0,
}
IMPORT = """
import importlib.metadata, time
found = importlib.metadata.entry_points


def without_ours(**chosen):
    every = found(**chosen)
    return [one for one in every if one.name != "hydraflyte"] if chosen.get("group") == "flytekit.plugins" else every


importlib.metadata.entry_points = without_ours
import flytekit, flytekitplugins.omegaconf
started = time.perf_counter()
import hydraflyte.transport.plugin
print(1000 * (time.perf_counter() - started))
"""


def plain(leaves: int) -> dict[str, Any]:
    """Return groups of ten values: text, numbers, flags, as configs have them."""
    values = [0.001, "resnet", 3, True, None, "s3://bucket/path", 1e-8, 128, "cosine", False]
    return {f"group{g}": {f"key_{k}": values[k] for k in range(10)} for g in range(leaves // 10)}


def typed(leaves: int) -> DictConfig:
    """Return the same with a schema: one class for all groups, one for the whole."""
    fields = [("rate", float, 0.001), ("name", str, "resnet"), ("epochs", int, 3), ("flag", bool, True)]
    fields += [("path", str, "s3://bucket/path"), ("eps", float, 1e-8), ("batch", int, 128), ("plan", str, "cosine")]
    fields += [("fast", bool, False), ("seed", int, 7)]
    group = make_dataclass("Group", fields)
    whole = make_dataclass("Whole", [(f"group{g}", group, field(default_factory=group)) for g in range(leaves // 10)])
    for cls in (group, whole):
        cls.__module__ = __name__
        globals()[cls.__name__] = cls
    return OmegaConf.structured(whole)


def use_plugin() -> None:
    for transformer in (DictConfigTransformer(), ListConfigTransformer()):
        TypeEngine.register_additional_type(transformer, transformer.python_type, override=True)


def write(config: Any) -> bytes:
    context = FlyteContextManager.current_context()
    transformer = TypeEngine.get_transformer(DictConfig)
    literal = transformer.to_literal(context, config, DictConfig, TypeEngine.to_literal_type(DictConfig))
    packed: bytes = literal.to_flyte_idl().SerializeToString()
    return packed


def read(packed: bytes) -> Any:
    context = FlyteContextManager.current_context()
    literal = Literal.from_flyte_idl(literals_pb2.Literal.FromString(packed))
    return TypeEngine.get_transformer(DictConfig).to_python_value(context, literal, DictConfig)


def own_write(config: Any) -> bytes:
    packed: bytes = msgpack.packb(OmegaConf.to_container(config))
    return packed


def own_read(packed: bytes) -> Any:
    return OmegaConf.create(msgpack.unpackb(packed))


def struct_write(config: Any) -> bytes:
    data = Struct()
    data.update(OmegaConf.to_container(config))
    return data.SerializeToString()


def struct_read(packed: bytes) -> Any:
    return OmegaConf.create(MessageToDict(Struct.FromString(packed)))


WAYS: dict[str, tuple[Callable[[], None], Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "hydraflyte": (register, write, read),
    "plugin": (use_plugin, write, read),
    "omegaconf_own": (lambda: None, own_write, own_read),
    "as_struct": (lambda: None, struct_write, struct_read),
}


def compare(config: DictConfig, ways: tuple[str, ...]) -> dict[str, Any]:
    """Time the ways in turns; returns milliseconds and the size of what is sent, per way."""
    times: dict[str, dict[str, list[float]]] = {way: {"write": [], "read": [], "both": []} for way in ways}
    sizes: dict[str, int] = {}
    for turn in range(TURNS + 1):
        for way in ways:
            prepare, there, back = WAYS[way]
            prepare()
            gc.collect()
            started = time.perf_counter()
            packed = there(config)
            between = time.perf_counter()
            back(packed)
            ended = time.perf_counter()
            sizes[way] = len(packed)
            if turn:  # the first turn fills caches
                times[way]["write"].append(1000 * (between - started))
                times[way]["read"].append(1000 * (ended - between))
                times[way]["both"].append(1000 * (ended - started))
    register()
    return {
        way: {**{f"{name}_ms": summary(values, 3) for name, values in times[way].items()}, "bytes": sizes[way]}
        for way in ways
    }


def ratio(figures: dict[str, Any], slower: str, faster: str) -> float:
    """Return the median of the ratios of turns that were neighbours."""
    pairs = zip(figures[slower]["both_ms"]["values"], figures[faster]["both_ms"]["values"], strict=True)
    return round(statistics.median(one / other for one, other in pairs), 2)


def sweep() -> dict[str, Any]:
    """Write the inputs of many jobs: four groups of 50 leaves each, one of which differs per job."""

    def job(number: int) -> list[DictConfig]:
        groups = [OmegaConf.create(plain(50)) for _ in range(4)]
        groups[0].group0.key_2 = number
        return groups

    found: dict[str, Any] = {}
    for way in ("plugin", "hydraflyte"):
        WAYS[way][0]()
        jobs = [job(number) for number in range(JOBS)]
        started = time.perf_counter()
        sent = [[write(group) for group in groups] for groups in jobs]
        found[f"{way}_ms_per_job"] = round(1000 * (time.perf_counter() - started) / JOBS, 3)
        found[f"{way}_distinct_literals"] = [len({groups[place] for groups in sent}) for place in range(4)]
    return found


def import_ms() -> dict[str, Any]:
    """Return what loading the plugin adds to ``import flytekit``, in fresh interpreters."""
    runs = [
        subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True) for _ in range(9)
    ]
    return summary([float(run.stdout) for run in runs], 1)


def main() -> None:
    every = ("hydraflyte", "plugin", "omegaconf_own", "as_struct")
    figures: dict[str, Any] = {f"plain_{n}": compare(OmegaConf.create(plain(n)), every) for n in (50, 200, 1000)}
    figures |= {f"typed_{n}": compare(typed(n), every) for n in (50, 1000)}
    large, small = figures["plain_1000"], figures["plain_50"]
    ratios = {
        "times_faster_than_plugin_1000": ratio(large, "plugin", "hydraflyte"),
        "times_faster_than_plugin_50": ratio(small, "plugin", "hydraflyte"),
        "times_of_omegaconf_own_1000": ratio(large, "hydraflyte", "omegaconf_own"),
        "times_smaller_than_plugin_1000": round(large["plugin"]["bytes"] / large["hydraflyte"]["bytes"], 2),
        "typed_times_faster_than_plugin_1000": ratio(figures["typed_1000"], "plugin", "hydraflyte"),
        "typed_times_of_omegaconf_own_1000": ratio(figures["typed_1000"], "hydraflyte", "omegaconf_own"),
    }
    holds = {
        name: ratios[name] <= limit if name.startswith("times_of") else ratios[name] >= limit
        for name, limit in LIMITS.items()
    }
    report(
        sys.argv[1] if len(sys.argv) > 1 else "transport",
        {
            "limits": LIMITS,
            "ratios": ratios,
            "holds": holds,
            "sweep": sweep(),
            "import_ms": import_ms(),
            "figures": figures,
        },
    )


if __name__ == "__main__":
    main()

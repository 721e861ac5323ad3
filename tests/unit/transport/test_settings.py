"""Settings come from the environment once; every way to name a class leads to the same one."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import hydraflyte.transport
from hydraflyte.transport import (
    Encoding,
    MissingClass,
    Resolve,
    TransportError,
    TransportSettings,
    active_settings,
    configure,
    using,
)
from hydraflyte.transport.settings import settings_from_environment


def test_every_setting_can_be_given_by_the_environment():
    text = "resolve=possible, encoding=plugin,missing_class=fail,allow=acme.conf:conf,use_loaded_classes=false,"
    text += "max_depth=7,max_nodes=8,max_bytes=9"

    assert settings_from_environment({"HYDRAFLYTE_TRANSPORT": text}) == TransportSettings(
        resolve=Resolve.POSSIBLE,
        encoding=Encoding.PLUGIN,
        missing_class=MissingClass.FAIL,
        allow=("acme.conf", "conf"),
        use_loaded_classes=False,
        max_depth=7,
        max_nodes=8,
        max_bytes=9,
    )
    assert settings_from_environment({}) == TransportSettings()


@pytest.mark.parametrize("text", ["resolve=maybe", "depth=3", "max_depth=many", "resolve", "use_loaded_classes=1"])
def test_an_unknown_setting_is_an_error_that_lists_the_known_ones(text):
    with pytest.raises(TransportError, match=text) as raised:
        settings_from_environment({"HYDRAFLYTE_TRANSPORT": text})

    assert "resolve=keep|all|possible" in raised.value.hint


def test_settings_of_a_block_end_with_it():
    configure(TransportSettings(max_depth=5))

    with using(TransportSettings(max_depth=6)):
        inside = active_settings()

    assert (inside.max_depth, active_settings().max_depth) == (6, 5)


SCRIPT = """
import sys
from dataclasses import dataclass
import flytekit
import hydraflyte.transport.plugin
from flytekit.extend import TypeEngine
from omegaconf import DictConfig, OmegaConf

@dataclass
class Conf:
    value: int = 7

if __name__ == "__main__":
    transformer = TypeEngine.get_transformer(DictConfig)
    literal = transformer.to_literal(None, OmegaConf.structured(Conf), DictConfig, None)
    assert OmegaConf.get_type(transformer.to_python_value(None, literal, DictConfig)) is Conf
    print(literal.scalar.binary.value.hex())
"""
READER = """
import sys
import main_script
from flytekit.extend import TypeEngine
from flytekit.models.literals import Binary, Literal, Scalar
from omegaconf import DictConfig, OmegaConf
literal = Literal(scalar=Scalar(binary=Binary(value=bytes.fromhex(sys.argv[1]), tag="msgpack")))
print(OmegaConf.get_type(TypeEngine.get_transformer(DictConfig).to_python_value(None, literal, DictConfig)))
"""


def test_a_schema_of_a_script_is_found_where_the_script_is_a_module(tmp_path):
    (tmp_path / "main_script.py").write_text(SCRIPT)

    def run(*arguments):
        command = [sys.executable, "-W", "error::hydraflyte.transport.TransportWarning", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout

    written = run("main_script.py")

    assert run("-c", READER, written.strip()) == "<class 'main_script.Conf'>\n"


def test_the_examples_in_docstrings_hold():
    found = [module.name for module in pkgutil.iter_modules(hydraflyte.transport.__path__, "hydraflyte.transport.")]
    results = [doctest.testmod(importlib.import_module(name)) for name in found]

    assert sum(result.attempted for result in results) >= 5
    assert [result.failed for result in results] == [0] * len(results)

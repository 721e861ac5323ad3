"""Sends configs through flytekit's type engine, as a task's inputs travel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flyteidl.core import literals_pb2
from flytekit import FlyteContextManager
from flytekit.extend import TypeEngine
from flytekit.models.literals import Literal, LiteralMap
from omegaconf import DictConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import hydraflyte.transport.plugin  # noqa: F401  # what flytekit's entry point loads in an installed package
from hydraflyte.transport import TransportSettings, configure

Trip = Callable[..., Any]


def to_literal(config: Any, annotation: Any = DictConfig) -> Literal:
    """Write ``config`` with the transformer itself: the type engine would answer equal values from its cache."""
    context = FlyteContextManager.current_context()
    transformer = TypeEngine.get_transformer(annotation)
    return transformer.to_literal(context, config, annotation, TypeEngine.to_literal_type(annotation))


def from_literal(literal: Literal, annotation: Any = DictConfig) -> Any:
    return TypeEngine.to_python_value(FlyteContextManager.current_context(), literal, annotation)


@pytest.fixture
def write() -> Callable[..., Literal]:
    """Writes a config as a literal: ``write(config, annotation)``."""
    return to_literal


@pytest.fixture
def read() -> Callable[..., Any]:
    """Reads a literal: ``read(literal, annotation)``."""
    return from_literal


@pytest.fixture
def trip() -> Trip:
    """Sends a config through the bytes of a literal: ``trip(config, annotation)``."""

    def send(config: Any, annotation: Any = DictConfig) -> Any:
        packed = to_literal(config, annotation).to_flyte_idl().SerializeToString()
        return from_literal(Literal.from_flyte_idl(literals_pb2.Literal.FromString(packed)), annotation)

    return send


@pytest.fixture
def trip_through_a_file(tmp_path: Path) -> Trip:
    """Sends a config through the file that a task's inputs are: ``inputs.pb``."""

    def send(config: Any, annotation: Any = DictConfig) -> Any:
        file = tmp_path / "inputs.pb"
        literals = LiteralMap({"cfg": to_literal(config, annotation)})
        file.write_bytes(literals.to_flyte_idl().SerializeToString())
        found = LiteralMap.from_flyte_idl(literals_pb2.LiteralMap.FromString(file.read_bytes()))
        return from_literal(found.literals["cfg"], annotation)

    return send


@pytest.fixture
def assert_same() -> Callable[[Any, Any], None]:
    """Compares values, YAML, key order, and everything that OmegaConf knows about every node."""

    def compare(found: Any, sent: Any) -> None:
        if is_equal_to_itself(sent):
            assert found == sent
        assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(sent)
        assert describe(found) == describe(sent)

    return compare


def is_equal_to_itself(config: Any) -> bool:
    """Tell whether OmegaConf can compare the config at all.

    Not with NaN in it, nor (``==`` raises then) with an interpolation that leads to what its typed field refuses.
    """
    try:
        return bool(config == config)
    except OmegaConfBaseException:
        return False


def describe(node: Any) -> list[Any]:
    """List a config's nodes in order: class, metadata without the place, and the value of leaves."""
    metadata = {name: item for name, item in vars(node._metadata).items() if name not in ("key", "resolver_cache")}
    state = {name: item for name, item in vars(node).items() if name not in ("_metadata", "_parent", "_flags_cache")}
    content = state.pop("_content", None)
    described = [(type(node), metadata, repr(state), content if isinstance(content, str) else type(content))]
    if isinstance(content, dict):
        for key, child in content.items():
            assert child._key() == key or key != key
            assert child._parent is node
            described += [(type(key), repr(key)), *describe(child)]
    elif isinstance(content, list):
        for index, child in enumerate(content):
            assert child._key() == index
            assert child._parent is node
            described += describe(child)
    elif isinstance(content, Node):
        assert content._parent is node
        described += describe(content)
    return described


@pytest.fixture(autouse=True)
def _settings_of_their_own() -> Any:
    yield
    configure(TransportSettings())

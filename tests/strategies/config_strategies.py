"""Configs that Hypothesis makes up: plain ones of every value and key, and ones with schemas made up as well.

The schemas are classes of a module of their own, ``made_up_schemas``, so that a reader finds them by name.
"""
# ruff: noqa: UP006, UP007, UP035, UP045  # OmegaConf keeps annotations as they are written: the older spellings count

from __future__ import annotations

import dataclasses
import itertools
import sys
import types
import typing
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import attr
import omegaconf
from config_schemas import Color, Layer, Level, Plan, Source, Training, WideLayer
from hypothesis import strategies as st
from omegaconf import MISSING, DictConfig, OmegaConf

HAS_TUPLES = hasattr(omegaconf, "TupleConfig")
MODULE = "made_up_schemas"


ENUMS = (Color, Level, Plan)

_module = types.ModuleType(MODULE)
sys.modules[MODULE] = _module
_numbers = itertools.count()


def _is_ordinary(text: str) -> bool:
    """Keep out what OmegaConf would read as something else, or refuse."""
    return "${" not in text and not text.lstrip("\\").startswith("???") and not text.endswith("???")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(_is_ordinary)
file_names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(_is_ordinary)
paths = st.lists(file_names, min_size=1, max_size=3).map(lambda parts: Path(*parts))
integers = st.one_of(
    st.integers(-5, 5),
    st.integers(),
    st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63) - 1, 2**200, 10**5000, -(16**6000)]),
)
floats = st.floats()
enums = st.sampled_from([member for cls in ENUMS for member in cls])
marks = st.sampled_from([MISSING, "${a}", "${.b}", "${a.b.c}", "${oc.env:NOT_SET_ANYWHERE}", "x${a}y", "${a}-${b}"])
escaped = st.sampled_from(["\\???", "\\\\???"]) if HAS_TUPLES else st.nothing()
values = st.one_of(
    st.none(), st.booleans(), integers, floats, texts, st.binary(max_size=6), paths, enums, marks, escaped
)
tuple_values = st.one_of(st.none(), st.booleans(), integers, floats, texts, paths, enums)


def _is_clear_key(key: object) -> bool:
    """OmegaConf 2.4 refuses 1 beside "1"."""
    return not (isinstance(key, str) and key.strip("-").isdecimal())


names = st.one_of(st.sampled_from(["a", "b", "c", "x.y", "__hydraflyte__"]), texts).filter(_is_clear_key)
keys = st.one_of(names, names, integers, st.booleans(), st.floats(allow_nan=False), st.binary(max_size=3), enums)
trees = st.recursive(
    values,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(names, inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
        st.tuples(tuple_values, tuple_values),
    ),
    max_leaves=12,
)
flags = st.fixed_dictionaries(
    {}, optional={"readonly": st.booleans(), "struct": st.booleans(), "allow_objects": st.booleans()}
)


@st.composite
def plain_configs(draw: st.DrawFn) -> DictConfig:
    """Make a config without a schema, with flags on some of its nodes."""
    config = OmegaConf.create(draw(st.dictionaries(keys, trees, max_size=5)))
    _set_flags(draw, config)
    return config


def _set_flags(draw: st.DrawFn, config: DictConfig) -> None:
    for node in [config, *(child for child in _children(config) if draw(st.booleans()))]:
        for name, value in draw(flags).items():
            node._set_flag(name, value)


def _children(config: DictConfig) -> list[Any]:
    return [config._get_node(key) for key in config] if isinstance(config._content, dict) else []


# Schemas

_SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    int: integers,
    float: st.floats(),
    bool: st.booleans(),
    str: texts,
    bytes: st.binary(max_size=6),
    Path: paths,
    Any: values,
    **{cls: st.sampled_from(list(cls)) for cls in ENUMS},
}
_IN_UNIONS = (int, float, bool, str, bytes, Path, Color)
_KEYS: dict[Any, st.SearchStrategy[Any]] = {
    str: names,
    int: st.integers(-(2**63), 2**64 - 1),
    Color: st.sampled_from(list(Color)),
}
Field = Tuple[Any, st.SearchStrategy[Any]]


def _collections_of(field: Field) -> st.SearchStrategy[Field]:
    annotation, fitting = field
    if not HAS_TUPLES and typing.get_origin(annotation) is tuple:  # OmegaConf 2.3 takes tuples only as fields
        return st.just(field)
    choices: list[Field] = [(List[annotation], st.lists(fitting, max_size=3))]
    if annotation is not Any:  # OmegaConf 2.4 refuses MISSING in tuples
        choices.append((Tuple[annotation, annotation], st.tuples(fitting, fitting)))
        choices.append((Tuple[annotation, ...], st.lists(fitting, max_size=3).map(tuple)))
        if type(None) not in typing.get_args(annotation):
            choices.append((Optional[annotation], st.one_of(st.none(), fitting)))
    for key, fitting_keys in _KEYS.items():
        choices.append((Dict[key, annotation], st.dictionaries(fitting_keys, fitting, max_size=3)))
    return st.sampled_from(choices)


@st.composite
def _unions(draw: st.DrawFn) -> Field:
    members = draw(st.lists(st.sampled_from(_IN_UNIONS), min_size=2, max_size=3, unique=True))
    fitting = st.one_of([_SIMPLE[member] for member in members])
    if draw(st.booleans()):
        return Optional[Union[tuple(members)]], st.one_of(st.none(), fitting)
    return Union[tuple(members)], fitting


def _container_unions() -> st.SearchStrategy[Field]:
    """Make unions with containers and schemas in them, which OmegaConf knows since 2.4."""
    layers = st.builds(Layer, width=integers)
    return st.sampled_from(
        [
            (Union[Layer, int], st.one_of(layers, integers)),
            (Optional[Union[List[int], str]], st.one_of(st.none(), st.lists(integers, max_size=2), texts)),
            (Union[Dict[str, int], bool], st.one_of(st.dictionaries(names, integers, max_size=2), st.booleans())),
            (Union[Layer, Source], st.one_of(layers, st.builds(Source, path=paths))),
        ]
    )


@st.composite
def _choices(draw: st.DrawFn) -> Field:
    members = draw(st.lists(st.sampled_from(["a", "b", 1, 2, Color.RED]), min_size=1, max_size=3, unique=True))
    return typing.Literal[tuple(members)], st.sampled_from(members)


_newer_fields = [_choices(), _container_unions()] if HAS_TUPLES else []
_leaf_fields = st.one_of(st.sampled_from(list(_SIMPLE.items())), _unions(), *_newer_fields)


@st.composite
def _schema_fields(draw: st.DrawFn, inner: st.SearchStrategy[Field]) -> Field:
    """Make up a class, and values that are its instances."""
    fields = draw(st.dictionaries(st.sampled_from(["a", "b", "c", "width", "name"]), inner, max_size=4))
    annotations = {name: annotation for name, (annotation, _) in fields.items()}
    cls = _make_class(annotations, use_attrs=draw(st.booleans()), frozen=draw(st.booleans()))
    return cls, st.fixed_dictionaries({name: fitting for name, (_, fitting) in fields.items()}).map(lambda v: cls(**v))


def _make_class(annotations: dict[str, Any], *, use_attrs: bool, frozen: bool) -> type:
    name = f"Schema{next(_numbers)}"
    if use_attrs:
        cls = attr.make_class(
            name, {n: attr.ib(type=annotation) for n, annotation in annotations.items()}, frozen=frozen
        )
        cls.__annotations__ = annotations
    else:
        cls = dataclasses.make_dataclass(name, list(annotations.items()), frozen=frozen)
    cls.__module__ = MODULE
    setattr(_module, name, cls)
    return cls


_flat_fields = st.one_of(_leaf_fields, _leaf_fields.flatmap(_collections_of), _schema_fields(_leaf_fields))
_fields = st.one_of(_flat_fields, _flat_fields.flatmap(_collections_of), _schema_fields(_flat_fields))


@st.composite
def schema_configs(draw: st.DrawFn) -> DictConfig:
    """Make a config with a schema, with MISSING and interpolations in some fields, and with flags."""
    _, instances = draw(_schema_fields(_fields))
    config = OmegaConf.structured(draw(instances), flags=draw(flags.filter(lambda found: not found.get("readonly"))))
    for key in list(config):
        if draw(st.integers(0, 5)) == 0 and not OmegaConf.is_readonly(config):
            config[key] = draw(st.sampled_from([MISSING, "${a}", "${.b}", "${oc.env:NOT_SET_ANYWHERE}"]))
    _set_flags(draw, config)
    return config


_layers = st.one_of(
    st.builds(Layer, width=integers, scale=floats), st.builds(WideLayer, extra=st.one_of(st.none(), texts))
)
_trainings = st.builds(
    Training,
    integer=integers,
    number=floats,
    flag=st.booleans(),
    text=texts,
    raw=st.binary(max_size=6),
    path=paths,
    color=st.sampled_from(list(Color)),
    level=st.one_of(st.none(), st.sampled_from(list(Level))),
    either=st.one_of(st.none(), integers, texts),
    anything=trees,
    numbers=st.lists(integers, max_size=3),
    pair=st.tuples(integers, integers),
    by_name=st.dictionaries(names, _layers, max_size=2),
    by_color=st.dictionaries(st.sampled_from(list(Color)), st.lists(floats, max_size=2), max_size=2),
    layer=_layers,
    layers=st.lists(_layers, max_size=2),
    source=st.one_of(st.none(), st.builds(Source, path=paths, plan=st.sampled_from(list(Plan)))),
)


def fixed_schema_configs() -> st.SearchStrategy[DictConfig]:
    """Make configs with the schemas of ``config_schemas``, which other processes can import."""
    return _trainings.map(OmegaConf.structured)


configs = st.one_of(plain_configs(), schema_configs(), fixed_schema_configs())


def forget_schemas() -> None:
    """Drop the made-up classes of examples that are done."""
    for name in [name for name in vars(_module) if name.startswith("Schema")]:
        delattr(_module, name)

"""Hydra's override grammar on a composed config."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from hydraflyte.errors import InputsError
from hydraflyte.launcher.overrides import apply_overrides

CONFIG = OmegaConf.create({"lr": 0.1, "model": {"name": "small", "layers": [1, 2], "out": "${lr}"}, "seed": "???"})


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (["lr=0.5"], "lr", 0.5),
        (["lr=0.5"], "model.out", 0.5),
        (["seed=3"], "seed", 3),
        (["model.layers=[3]"], "model.layers", [3]),
        (["model={name: big}"], "model.name", "big"),
        (["+model.depth=3"], "model.depth", 3),
        (["++model.depth=3", "model.depth=4"], "model.depth", 4),
        (["~model.name"], "model.name", None),
        (["lr=null"], "lr", None),
        (["lr='a=b'"], "lr", "a=b"),
    ],
)
def test_an_override_does_what_hydra_does(overrides: list[str], key: str, value: Any) -> None:
    changed = apply_overrides(CONFIG, overrides)

    assert OmegaConf.select(changed, key) == value
    assert CONFIG.lr == 0.1


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        ("lrr=1", "does not fit", "did you mean lr?"),
        ("model.nmae=x", "does not fit", "did you mean model.name?"),
        ("~model.depth", "there is no such key", "its keys there are model.name, model.layers, model.out"),
        ("model=big", "would replace 3 keys", "override its values, such as model.name=…."),
        ("db/engine=pg", "chooses a config group", "override values"),
        ("lr=1,2", "is a sweep", "execute once per value"),
        ("lr=[", "cannot be read", "write key=value"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_write(override: str, message: str, hint: str) -> None:
    with pytest.raises(InputsError) as caught:
        apply_overrides(CONFIG, [override])

    assert message in caught.value.message
    assert hint in caught.value.hint

"""Configs that rest: small, and the same when they are looked at again."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from hydraflyte.launcher.jobs import Job, RestingReturn
from hydraflyte.launcher.resting import Shelf

OBJECTS = {"allow_objects": True}


@dataclass
class Model:
    lr: float = 0.1


def test_a_config_is_the_same_after_its_rest() -> None:
    shelf = Shelf(most_awake=1)
    config = OmegaConf.create({"model": Model, "twice": "${model.lr}"})
    OmegaConf.set_readonly(config, True)
    place = shelf.put(config)
    del config
    shelf.put(OmegaConf.create({}))
    gc.collect()

    again = place.get()

    assert again == {"model": {"lr": 0.1}, "twice": 0.1}
    assert OmegaConf.to_container(again)["twice"] == "${model.lr}"
    assert again.twice == 0.1
    assert OmegaConf.is_readonly(again)
    assert OmegaConf.get_type(again.model) is Model


def test_a_change_is_kept() -> None:
    shelf = Shelf(most_awake=1)
    place = shelf.put(OmegaConf.create({"x": 1}))
    place.get().x = 2
    shelf.put(OmegaConf.create({}))

    assert place.get() == {"x": 2}


def test_a_config_that_somebody_holds_stays_the_same_object_and_changes_to_it_stay() -> None:
    shelf = Shelf(most_awake=1)
    place = shelf.put(OmegaConf.create({"x": 1}))
    held = place.get()
    shelf.put(OmegaConf.create({}))
    held.x = 2

    assert place.get() is held
    assert place.get().x == 2


@pytest.mark.filterwarnings("ignore:register_new_resolver")  # the name that both OmegaConf 2.3 and 2.4 have
def test_what_is_asked_once_has_the_same_answer_after_a_rest() -> None:
    answers = iter(["first", "second"])
    OmegaConf.register_new_resolver("test.once", lambda: next(answers), use_cache=True, replace=True)
    shelf = Shelf(most_awake=1)
    place = shelf.put(OmegaConf.create({"when": "${test.once:}"}))
    assert place.get().when == "first"
    shelf.put(OmegaConf.create({}))
    gc.collect()

    assert place.get().when == "first"


@pytest.mark.filterwarnings("ignore:The version_base parameter")  # Hydra 1.3 wants it, Hydra 1.4 does not
def test_a_composed_config_of_hydra_comes_back_node_by_node() -> None:
    with initialize_config_module("hydra", version_base=None):
        config = compose(config_name=None, return_hydra_config=True)
    shelf = Shelf(most_awake=1)
    place = shelf.put(config)
    before = list(nodes_of(config))
    del config
    shelf.put(OmegaConf.create({}))
    gc.collect()

    assert list(nodes_of(place.get())) == before


def nodes_of(node: Any, path: str = "") -> Iterator[tuple[Any, ...]]:
    """Everything that OmegaConf knows of each node."""
    metadata = node._metadata
    facts = (metadata.ref_type, metadata.object_type, metadata.optional, metadata.flags)
    content = node.__dict__.get("_content")
    yield path, type(node), *facts, None if isinstance(content, dict | list) else node._value()
    if isinstance(content, dict | list):
        for key, child in content.items() if isinstance(content, dict) else enumerate(content):
            yield from nodes_of(child, f"{path}.{key}")


def test_only_those_looked_at_last_are_awake() -> None:
    shelf = Shelf(most_awake=2)
    places = []
    seen = []
    for number in range(5):
        config = OmegaConf.create({"x": number})
        seen.append(weakref.ref(config))
        places.append(shelf.put(config))
    del config
    gc.collect()

    assert [config.x for reference in seen if (config := reference()) is not None] == [3, 4]
    assert [place.get().x for place in places] == [0, 1, 2, 3, 4]


def test_what_cannot_be_packed_stays_awake() -> None:
    @dataclass
    class Inside:
        x: int = 1

    shelf = Shelf(most_awake=1)
    places = [shelf.put(OmegaConf.structured(Inside)), shelf.put(OmegaConf.create({"x": object()}, flags=OBJECTS))]
    shelf.put(OmegaConf.create({}))
    gc.collect()

    assert OmegaConf.get_type(places[0].get()) is Inside
    assert type(places[1].get().x) is object


def test_what_a_sweeper_gets_is_a_plain_job_return_wherever_it_goes() -> None:
    shelf = Shelf(most_awake=1)
    composed = shelf.put(OmegaConf.create({"x": 1, "hydra": {"y": 2}}))
    job = Job(number=0, overrides=("x=1",), composed=composed)
    job_return = RestingReturn(job, overrides=["x=1"], status=JobStatus.COMPLETED)
    job_return.return_value = 0.5
    shelf.put(OmegaConf.create({}))

    for other in (copy.deepcopy(job_return), pickle.loads(pickle.dumps(job_return))):
        assert type(other) is JobReturn
        assert (other.cfg, other.hydra_cfg, other.overrides) == ({"x": 1}, {"hydra": {"y": 2}}, ["x=1"])
        assert (other.return_value, other.status, other.working_dir) == (0.5, JobStatus.COMPLETED, None)
    assert isinstance(job_return, JobReturn)
    assert "x=1" in repr(job_return)


def test_what_somebody_changes_in_the_configs_of_a_job_return_stays_and_is_not_the_jobs() -> None:
    shelf = Shelf(most_awake=1)
    job = Job(number=0, overrides=(), composed=shelf.put(OmegaConf.create({"x": 1, "hydra": {"y": 2}})))
    job_return = RestingReturn(job)

    assert job_return.cfg is not None
    job_return.cfg.x = 3
    job_return.hydra_cfg = None
    shelf.put(OmegaConf.create({}))

    assert job_return.cfg == {"x": 3}
    assert job_return.hydra_cfg is None
    assert job.config == {"x": 1, "hydra": {"y": 2}}

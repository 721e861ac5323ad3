"""Parts of values handed on: fields of dataclasses and pydantic models, items of lists and dicts, all nested."""

from dataclasses import dataclass, field
from typing import NamedTuple

from flytekit import task, workflow
from pydantic import BaseModel


@dataclass
class Leaf:
    number: int = 1
    text: str = "leaf"


@dataclass
class Tree:
    leaf: Leaf = field(default_factory=Leaf)
    leaves: list[Leaf] = field(default_factory=lambda: [Leaf(1, "a"), Leaf(2, "b")])
    by_name: dict[str, Leaf] = field(default_factory=lambda: {"x": Leaf(3, "c")})
    ratio: float = 0.5
    missing: Leaf | None = None


class Model(BaseModel):
    number: int = 4
    names: list[str] = ["p", "q"]
    inner: dict[str, int] = {"deep": 5}


class Found(NamedTuple):
    numbers: list[int]
    texts: dict[str, str]


@task
def tree() -> Tree:
    return Tree()


@task
def model() -> Model:
    return Model()


@task
def lists() -> list[list[int]]:
    return [[1, 2], [3]]


@task
def dicts() -> dict[str, dict[str, int]]:
    return {"a": {"b": 6}}


@task
def models_in_a_list() -> list[Tree]:
    return [Tree(ratio=0.25), Tree(ratio=0.75)]


@task
def found() -> Found:
    return Found([7, 8], {"k": "v"})


@task
def integer(x: int) -> int:
    return x


@task
def text(x: str) -> str:
    return x


@task
def number(x: float) -> float:
    return x


@task
def leaf(x: Leaf) -> str:
    return f"{x.text}{x.number}"


@task
def leaves(x: list[Leaf]) -> int:
    return len(x)


@workflow
def of_a_dataclass() -> tuple[int, str, float]:
    made = tree()
    return integer(x=made.leaf.number), text(x=made.leaf.text), number(x=made.ratio)


@workflow
def items_in_a_dataclass() -> tuple[str, int, str, int]:
    made = tree()
    return (
        leaf(x=made.leaves[1]),
        leaves(x=made.leaves),
        leaf(x=made.by_name["x"]),
        integer(x=made.by_name["x"].number),
    )


@workflow
def of_a_model() -> tuple[int, str, int]:
    made = model()
    return integer(x=made.number), text(x=made.names[1]), integer(x=made.inner["deep"])


@workflow
def of_lists_and_dicts() -> tuple[int, int, float]:
    return integer(x=lists()[1][0]), integer(x=dicts()["a"]["b"]), number(x=models_in_a_list()[1].ratio)


@workflow
def of_named_outputs() -> tuple[int, str]:
    made = found()
    return integer(x=made.numbers[1]), text(x=made.texts["k"])


@workflow
def of_an_input(given: Tree) -> int:
    return integer(x=given.leaf.number)


@workflow
def as_an_output() -> tuple[int, str]:
    made = tree()
    return made.leaf.number, made.leaves[0].text


@workflow
def absent_item() -> int:
    return integer(x=lists()[5][0])

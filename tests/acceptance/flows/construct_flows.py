"""Combinations of constructs: parts of values, optionals and unions, overrides, orders, conditionals, eager tasks."""

import datetime
from dataclasses import dataclass
from typing import NamedTuple

from flytekit import (
    LaunchPlan,
    Resources,
    Workflow,
    conditional,
    dynamic,
    eager,
    map_task,
    sleep,
    task,
    workflow,
)
from flytekit.core.node_creation import create_node
from pydantic import BaseModel


@dataclass
class Leaf:
    n: int


@dataclass
class Tree:
    leaf: Leaf
    leaves: list[Leaf]
    named: dict[str, Leaf]
    grid: list[list[int]]
    absent: int | None = None


class Bud(BaseModel):
    n: int = 1


class Branch(BaseModel):
    bud: Bud = Bud()
    buds: list[Bud] = []
    absent: int | None = None


@task
def grow(n: int) -> Tree:
    leaves = [Leaf(n=n + 1), Leaf(n=n + 2)]
    return Tree(leaf=Leaf(n=n), leaves=leaves, named={"a": Leaf(n=n + 3)}, grid=[[1, 2], [3, n]])


@task
def sprout(n: int) -> Branch:
    return Branch(bud=Bud(n=n), buds=[Bud(n=n + 1)])


@task
def size(leaf: Leaf) -> int:
    return leaf.n


@task
def bud_size(bud: Bud) -> int:
    return bud.n


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def total(xs: list[int]) -> int:
    return sum(xs)


@task
def same(x: int) -> int:
    return x


@task
def word(x: str) -> str:
    return x


@task
def pair(n: int) -> tuple[int, int]:
    return n, n + 1


@task
def nothing():
    print("nothing")


@task
def optional(x: int | None = None) -> int | None:
    return x


@task
def show_optional(x: int | None) -> str:
    return repr(x)


@task
def show_optionals(xs: list[int | None], by_name: dict[str, int | None]) -> str:
    return f"{xs} {sorted(by_name.items())}"


@task
def show_union(x: int | str | list[str] | dict[str, int]) -> str:
    return repr(x)


@task
def any_of(n: int) -> int | str | list[str]:
    return [n, "one", ["two"]][n]


@task
def show_nested_union(x: list[int | list[str | None]]) -> str:
    return repr(x)


@workflow
def grown(n: int) -> Tree:
    return grow(n=n)


@dynamic
def grown_at_run_time(n: int) -> Tree:
    return grow(n=n)


grown_plan = LaunchPlan.get_or_create(grown, name="constructs.grown_plan")


@workflow
def parts_from_everywhere(n: int) -> tuple[int, int, int, int]:
    below, dynamically, child = grown(n=n), grown_at_run_time(n=n), grown_plan(n=n)
    mapped = map_task(grow)(n=[1, 2, 3])
    return (
        size(leaf=below.leaves[1]),
        size(leaf=dynamically.named["a"]),
        add(a=child.grid[1][1], b=child.leaf.n),
        add(a=mapped[1].leaf.n, b=mapped[2].grid[1][1]),
    )


@workflow
def parts_of_a_model(n: int) -> tuple[int, int, str]:
    made = sprout(n=n)
    return bud_size(bud=made.buds[0]), made.bud.n, show_optional(x=made.absent)


@workflow
def parts_of_an_input(tree: Tree) -> int:
    return add(a=tree.leaf.n, b=tree.leaves[0].n)


@workflow
def a_value_handed_down(n: int) -> int:
    return parts_of_an_input(tree=grow(n=n))


@workflow
def parts_in_conditions(n: int) -> tuple[int, int]:
    tree = grow(n=n)
    chosen = conditional("part").if_(tree.leaf.n > 3).then(same(x=tree.leaf.n)).else_().then(same(x=tree.grid[1][0]))
    return chosen, total(xs=[tree.leaf.n, 2, tree.grid[0][0]])


@workflow
def with_optional(x: int | None = None) -> tuple[int | None, str]:
    return optional(x=x), show_optional(x=optional(x=optional()))


optional_plan = LaunchPlan.get_or_create(with_optional, name="constructs.optional_plan")
five_plan = LaunchPlan.get_or_create(with_optional, name="constructs.five_plan", default_inputs={"x": 5})


@workflow
def absent_everywhere() -> tuple[str, str, str]:
    below, _ = with_optional()
    child, _ = optional_plan()
    five, _ = five_plan()
    return show_optional(x=below), show_optional(x=child), show_optional(x=five)


@workflow
def optionals_in_containers(x: int) -> str:
    made = same(x=x)
    return show_optionals(xs=[made, None, 3, optional()], by_name={"a": made, "b": None, "c": optional()})


@workflow
def unions(n: int) -> tuple[str, str, str, str, str, str]:
    return (
        show_union(x=same(x=n)),
        show_union(x="text"),
        show_union(x=["a", "b"]),
        show_union(x={"z": n}),
        show_union(x=any_of(n=n)),
        show_nested_union(x=[1, ["a", None], same(x=n)]),
    )


@workflow
def defaults(b: str | None = None, c: list[int] | None = None) -> tuple[str, str]:
    return show_text(x=b), show_list(x=c)


@task
def show_text(x: str | None) -> str:
    return repr(x)


@task
def show_list(x: list[int] | None) -> str:
    return repr(x)


class Named(NamedTuple):
    first: int
    second: str


@task
def named(n: int) -> Named:
    return Named(first=n, second=str(n))


@workflow
def named_below(n: int) -> Named:
    made = named(n=n)
    return Named(first=made.first, second=made.second)


@dynamic
def named_at_run_time(n: int) -> Named:
    made = named_below(n=n)
    return Named(first=made.first, second=made.second)


named_plan = LaunchPlan.get_or_create(named_below, name="constructs.named_plan")


@workflow
def named_outputs(n: int) -> tuple[int, str, int]:
    below = named_below(n=n)
    dynamically = named_at_run_time(n=below.first)
    child = named_plan(n=dynamically.first)
    first, second = named(n=child.first)
    return first, second, add(a=below.first, b=child.first)


@workflow
def told_order(n: int) -> int:
    start = create_node(nothing)
    mapped = map_task(same)(x=[1, 2])
    below, child = grown(n=n), grown_plan(n=n)
    last = create_node(add, a=1, b=2)
    start >> last
    mapped >> below
    below >> child
    nap = sleep(datetime.timedelta(milliseconds=1))
    child >> nap
    return add(a=last.o0, b=n)


@workflow
def overridden(n: int) -> int:
    first = same(x=n).with_overrides(
        node_name="my-node", name="My name", limits=Resources(cpu="100m", mem="200Mi"), retries=2, interruptible=False
    )
    below = grown(n=first).with_overrides(node_name="sub")
    mapped = map_task(same)(x=[1, 2, 3]).with_overrides(node_name="mapped")
    child = grown_plan(n=n).with_overrides(node_name="child")
    return total(xs=[total(xs=mapped), below.leaf.n, child.leaf.n]).with_overrides(node_name="total")


@dynamic
def overrides_at_run_time(n: int) -> int:
    inside = same(x=n).with_overrides(node_name="inside", retries=1)
    mapped = map_task(same)(x=[n, n]).with_overrides(node_name="in-map")
    return add(a=inside, b=total(xs=mapped))


@workflow
def overridden_in_dynamic(n: int) -> int:
    return overrides_at_run_time(n=n)


imperative = Workflow(name="constructs.imperative")
imperative.add_workflow_input("n", int)
imperative.add_workflow_input("numbers", list[int])
_first = imperative.add_entity(same, x=imperative.inputs["n"])
_second = imperative.add_entity(add, a=_first.outputs["o0"], b=3)
_sum = imperative.add_entity(total, xs=[_first.outputs["o0"], _second.outputs["o0"]])
imperative.add_subwf(grown, n=_second.outputs["o0"])
imperative.add_launch_plan(grown_plan, n=_second.outputs["o0"])
_mapped = imperative.add_entity(map_task(same), x=imperative.inputs["numbers"])
imperative.add_workflow_output("total", _sum.outputs["o0"])
imperative.add_workflow_output("mapped", _mapped.outputs["o0"])
imperative.add_workflow_output("both", [_first.outputs["o0"], _second.outputs["o0"]], python_type=list[int])


@workflow
def inner_choice(n: int) -> int:
    return conditional("inner").if_(n == 1).then(same(x=10)).elif_(n == 2).then(same(x=20)).else_().fail("none inside")


choice_plan = LaunchPlan.get_or_create(inner_choice, name="constructs.choice_plan")


@dynamic
def choice_at_run_time(n: int) -> int:
    return inner_choice(n=n)


@workflow
def choices(n: int) -> int:
    mapped = total(xs=map_task(same)(x=[1, 1]))
    return (
        conditional("outer")
        .if_((mapped == 2) & ((n == 1) | (n == 7)))
        .then(inner_choice(n=n))
        .elif_(n == 2)
        .then(choice_plan(n=n))
        .elif_(n == 3)
        .then(choice_at_run_time(n=1))
        .else_()
        .fail("none outside")
    )


@workflow
def choice_of_pairs(n: int, flag: bool = True) -> tuple[int, int]:
    a, b = conditional("pairs").if_(flag.is_true()).then(pair(n=n)).else_().then(pair(n=0))
    return a, b


@workflow
def three_deep(n: int) -> str:
    return (
        conditional("one")
        .if_(n < 10)
        .then(
            conditional("two")
            .if_(n < 5)
            .then(conditional("three").if_(n < 2).then(word(x="tiny")).else_().then(word(x="small")))
            .else_()
            .then(word(x="medium"))
        )
        .else_()
        .then(word(x="large"))
    )


@workflow
def choice_after_choice(n: int) -> int:
    first = conditional("first").if_(n > 0).then(same(x=n)).else_().then(add(a=n, b=n))
    second = conditional("second").if_(first > 3).then(same(x=first)).else_().then(add(a=first, b=100))
    return total(xs=[first, second])


@workflow
def absent_or_not(x: int | None) -> str:
    return conditional("absent").if_(x.is_none()).then(word(x="absent")).else_().then(show_optional(x=x))


@workflow
def handed_through(x: int, y: list[str]) -> tuple[int, list[str], str]:
    return x, y, "constant"


@workflow
def handed_through_below(x: int) -> tuple[int, list[str], str]:
    a, b, c = handed_through(x=x, y=["q"])
    return a, b, c


@workflow
def empty():
    pass


@eager
async def eager_inner(n: int) -> int:
    return same(x=n) + 1


@eager
async def eager_outer(n: int) -> int:
    inner = await eager_inner(n=n)
    return inner + grown_plan(n=inner).leaf.n

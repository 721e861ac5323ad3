"""Conditionals: every kind of primitive, nested, joined by and/or, with errors, below other constructs."""

from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from flytekit import conditional, dynamic, task, workflow

NEW_YEAR = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Pair(NamedTuple):
    left: int
    right: int


@task
def double(x: int) -> int:
    return 2 * x


@task
def negative(x: int) -> int:
    return -x


@task
def say(text: str) -> str:
    return text


@task
def is_even(x: int) -> bool:
    return x % 2 == 0


@task
def pair(x: int) -> Pair:
    return Pair(x, x + 1)


@task
def swapped_pair(x: int) -> Pair:
    return Pair(x + 1, x)


@task
def maybe(x: int) -> int | None:
    return x or None


@task
def note(text: str):
    print(text)


@workflow
def sub_workflow(x: int) -> int:
    return double(x=double(x=x))


@workflow
def first_arm_else_arm(x: int) -> int:
    return conditional("size").if_(x > 10).then(double(x=x)).else_().then(negative(x=x))


@workflow
def middle_arm(x: int) -> str:
    return (
        conditional("three")
        .if_(x < 0)
        .then(say(text="below"))
        .elif_(x == 0)
        .then(say(text="zero"))
        .else_()
        .then(say(text="above"))
    )


@workflow
def nested(x: int, y: float) -> int:
    return (
        conditional("outer")
        .if_(x > 0)
        .then(conditional("inner").if_(y >= 0.5).then(double(x=x)).else_().then(sub_workflow(x=x)))
        .else_()
        .then(negative(x=x))
    )


@workflow
def no_arm_is_true(x: int) -> int:
    return conditional("picky").if_(x == 1).then(double(x=x)).else_().fail("only 1 will do")


@workflow
def both_and_either(x: int, y: int) -> str:
    return (
        conditional("joined")
        .if_((x > 0) & (y > 0))
        .then(say(text="both"))
        .elif_((x > 0) | (y > 0))
        .then(say(text="either"))
        .else_()
        .then(say(text="neither"))
    )


@workflow
def by_float(x: float) -> str:
    return conditional("float").if_(x <= 0.5).then(say(text="low")).else_().then(say(text="high"))


@workflow
def by_text(x: str) -> str:
    return conditional("text").if_(x != "no").then(say(text="go")).else_().then(say(text="stop"))


@workflow
def by_truth(x: int) -> str:
    even = is_even(x=x)
    return conditional("truth").if_(even.is_true()).then(say(text="even")).else_().then(say(text="odd"))


@workflow
def by_falsehood(flag: bool) -> str:
    return conditional("falsehood").if_(flag.is_false()).then(say(text="off")).else_().then(say(text="on"))


@workflow
def by_instant(at: datetime) -> str:
    return conditional("instant").if_(at >= NEW_YEAR).then(say(text="this year")).else_().then(say(text="before"))


@workflow
def by_duration(took: timedelta) -> str:
    return conditional("duration").if_(took < timedelta(hours=1)).then(say(text="quick")).else_().then(say(text="slow"))


@workflow
def by_nothing(x: int) -> str:
    found = maybe(x=x)
    return conditional("nothing").if_(found.is_none()).then(say(text="none")).else_().then(say(text="some"))


@workflow
def several_outputs(x: int) -> Pair:
    return conditional("pairs").if_(x > 0).then(pair(x=x)).else_().then(swapped_pair(x=x))


@workflow
def used_further(x: int) -> int:
    chosen = conditional("first").if_(x > 0).then(double(x=x)).else_().then(negative(x=x))
    return conditional("second").if_(chosen > 10).then(negative(x=chosen)).else_().then(double(x=chosen))


@workflow
def without_outputs(x: int):
    conditional("void").if_(x > 0).then(note(text="up")).else_().then(note(text="down"))


@workflow
def arm_is_a_workflow(x: int) -> int:
    return conditional("deep").if_(x > 0).then(sub_workflow(x=x)).else_().then(negative(x=x))


@dynamic
def chooses(x: int) -> int:
    doubled = double(x=x)
    return conditional("late").if_(doubled > 5).then(double(x=doubled)).else_().then(negative(x=doubled))


@workflow
def in_a_dynamic_task(x: int) -> int:
    return chooses(x=x)


@workflow
def below_a_sub_workflow(x: int) -> int:
    return double(x=first_arm_else_arm(x=x))

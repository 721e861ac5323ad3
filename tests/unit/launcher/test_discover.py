"""Which workflow a task function stands for, and what is wrong when that cannot be told."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from hydraflyte.errors import DiscoveryError
from hydraflyte.launcher.discover import discover

TWO = """
    from flytekit import LaunchPlan, dynamic, task, workflow

    @task
    def step(x: int) -> int:
        return x

    @workflow
    def first(x: int) -> int:
        return step(x=x)

    @workflow
    def second(x: int) -> int:
        return step(x=x)
"""


def test_the_workflow_that_no_other_contains_is_the_main_one(import_source):
    module = import_source(
        "contained",
        TWO
        + """
    @workflow
    def whole(x: int) -> int:
        return first(x=second(x=x))

    def main(cfg): ...
    """,
    )

    source = discover(module.main)

    assert source.workflow is module.whole
    assert [entity.name for entity in source.entities] == [
        "contained.step", "contained.second", "contained.first", "contained.whole",
    ]  # fmt: skip


def test_a_workflow_inside_a_launch_plan_of_a_dynamic_task_is_contained(import_source):
    module = import_source(
        "in_dynamic",
        TWO
        + """
    plan = LaunchPlan.get_or_create(second)

    @dynamic
    def fan_out(x: int) -> int:
        return plan(x=first(x=x))

    @workflow
    def whole(x: int) -> int:
        return fan_out(x=x)

    def main(cfg): ...
    """,
    )

    assert discover(module.main).workflow is module.whole


def test_the_only_workflow_that_the_task_function_calls_is_the_main_one(import_source):
    module = import_source("called", TWO + "\n    def main(cfg):\n        return second(x=1)\n")

    assert discover(module.main).workflow is module.second


def test_a_call_through_a_helper_function_and_a_module_counts(import_source):
    import_source("flows_elsewhere", TWO)
    module = import_source(
        "through_helper",
        """
        import flows_elsewhere

        def run(x):
            return flows_elsewhere.first(x=x)

        def main(cfg):
            return run(1)
        """,
    )

    source = discover(module.main)

    assert source.workflow.name == "flows_elsewhere.first"
    assert source.modules == ("flows_elsewhere", "through_helper")


def test_a_workflow_that_is_called_wins_over_one_that_contains_it(import_source):
    module = import_source(
        "inner_called",
        TWO
        + """
    @workflow
    def whole(x: int) -> int:
        return first(x=x)

    def main(cfg):
        return first(x=1)
    """,
    )

    assert discover(module.main).workflow is module.first


def test_several_workflows_are_an_error_that_names_them_and_the_key(import_source):
    module = import_source("several", TWO + "\n    def main(cfg): ...\n")

    with pytest.raises(DiscoveryError) as caught:
        discover(module.main)

    assert caught.value.message == (
        "several.py has 2 workflows that no other workflow uses, 'first' and 'second': cannot tell which to launch."
    )
    assert caught.value.hint == (
        "Set hydra.launcher.workflow.name=first, or call the one that is meant in the task function."
    )


@pytest.mark.parametrize("name", ["second", "by_name.second"])
def test_the_config_can_name_the_workflow(import_source, name):
    module = import_source("by_name", TWO + "\n    def main(cfg): ...\n")

    assert discover(module.main, workflow_name=name).workflow is module.second


def test_an_unknown_name_is_an_error_that_lists_the_known_ones(import_source):
    module = import_source("unknown_name", TWO + "\n    def main(cfg): ...\n")

    with pytest.raises(DiscoveryError) as caught:
        discover(module.main, workflow_name="third")

    assert caught.value.message == "hydra.launcher.workflow.name=third names no workflow of unknown_name.py."
    assert caught.value.hint == "Set it to one of: first, second."


def test_no_workflow_is_an_error(import_source):
    module = import_source("empty", "def main(cfg): ...\n")

    with pytest.raises(DiscoveryError, match=r"empty\.py defines and imports no Flyte workflow"):
        discover(module.main)


def test_reference_entities_are_neither_the_main_workflow_nor_registered(import_source):
    module = import_source(
        "references",
        """
        from flytekit import reference_launch_plan, reference_task, reference_workflow, workflow

        @reference_task(project="p", domain="d", name="t", version="1")
        def a_task(x: int) -> int: ...

        @reference_launch_plan(project="p", domain="d", name="l", version="1")
        def a_plan(x: int) -> int: ...

        @reference_workflow(project="p", domain="d", name="w", version="1")
        def a_workflow(x: int) -> None: ...

        @workflow
        def whole(x: int) -> int:
            return a_plan(x=a_task(x=x))

        def main(cfg): ...
        """,
    )

    assert discover(module.main).entities == (module.whole,)


def test_an_imperative_workflow_is_found_with_its_failure_handler(import_source):
    module = import_source(
        "imperative",
        """
        from flytekit import Workflow, task

        @task
        def step(x: int) -> int:
            return x

        @task
        def clean(x: int) -> None:
            pass

        whole = Workflow(name="an.imperative.one")
        whole.add_workflow_input("x", int)
        node = whole.add_entity(step, x=whole.inputs["x"])
        whole.add_workflow_output("y", node.outputs["o0"])
        whole.add_on_failure_handler(clean)

        def main(cfg): ...
        """,
    )

    assert [entity.name for entity in discover(module.main).entities] == [
        "imperative.step", "imperative.clean", "an.imperative.one",
    ]  # fmt: skip


def test_names_are_the_same_when_discovered_twice(import_source):
    module = import_source("twice", TWO + "\n    def main(cfg):\n        first(x=1)\n")

    first, second = discover(module.main), discover(module.main)

    assert [entity.name for entity in first.entities] == [entity.name for entity in second.entities]
    assert first.loads == second.loads


def test_a_workflow_that_does_not_compile_is_an_error_with_its_cause(import_source):
    module = import_source(
        "broken",
        """
        from flytekit import task, workflow

        @task
        def step(x: int) -> int:
            return x

        @workflow
        def whole(x: int) -> int:
            return step(y=x)

        def main(cfg): ...
        """,
    )

    with pytest.raises(
        DiscoveryError, match=r"broken\.whole does not compile: .*unexpected keyword argument 'y'"
    ) as caught:
        discover(module.main)

    assert caught.value.__cause__ is not None


def test_a_task_under_another_name_than_its_function_is_loaded_by_that_name(import_source):
    module = import_source(
        "renamed",
        """
        from flytekit import task, workflow

        def plain(x: int) -> int:
            return x

        step = task(plain)

        @workflow
        def whole(x: int) -> int:
            return step(x=x)

        def main(cfg): ...
        """,
    )

    (load,) = discover(module.main).loads

    assert load.task_name == "renamed.plain"
    assert load.loader_args == ("task-module", "renamed", "task-name", "step")


def test_a_task_that_no_name_leads_to_is_an_error(import_source):
    module = import_source(
        "hidden",
        """
        from flytekit import task, workflow

        def plain(x: int) -> int:
            return x

        STEPS = [task(plain)]

        @workflow
        def whole(x: int) -> int:
            return STEPS[0](x=x)

        def main(cfg): ...
        """,
    )

    with pytest.raises(DiscoveryError, match=r"hidden\.plain is not bound to a name at the top level of hidden,"):
        discover(module.main)


def test_two_tasks_of_one_function_are_an_error(import_source):
    module = import_source(
        "same_name",
        """
        from flytekit import task, workflow

        def plain(x: int) -> int:
            return x

        once = task(plain)
        again = task(plain, retries=3)

        @workflow
        def whole(x: int) -> int:
            return again(x=once(x=x))

        def main(cfg): ...
        """,
    )

    with pytest.raises(DiscoveryError, match=r"Two different tasks have the name same_name\.plain\."):
        discover(module.main)


def test_a_map_task_made_twice_is_registered_once(import_source):
    module = import_source(
        "mapped_twice",
        """
        from typing import List
        from flytekit import map_task, task, workflow

        @task
        def step(x: int) -> int:
            return x

        @workflow
        def whole() -> List[int]:
            map_task(step)(x=[1])
            return map_task(step)(x=[1, 2])

        def main(cfg): ...
        """,
    )

    names = [entity.name for entity in discover(module.main).entities]

    assert len(names) == 2
    assert names[0].startswith("mapped_twice.map_step_")
    assert names[1] == "mapped_twice.whole"


def test_a_partial_and_a_callable_object_stand_for_their_function(import_source):
    module = import_source(
        "wrappers",
        TWO
        + """
    def work(option, cfg):
        return first(x=1)

    class Main:
        def __call__(self, cfg):
            return second(x=1)
    """,
    )

    assert discover(functools.partial(module.work, "a")).workflow is module.first
    assert discover(module.Main()).workflow is module.second


def test_a_function_without_python_code_is_an_error():
    with pytest.raises(DiscoveryError, match="is not a Python function"):
        discover(print)


def test_a_function_without_a_file_is_an_error():
    namespace = {"__name__": "__main__"}
    exec("def main(cfg): ...", namespace)

    with pytest.raises(DiscoveryError, match="interactive session") as caught:
        discover(namespace["main"])

    assert "Move the workflow and the task function into a .py file" in caught.value.hint


@pytest.mark.parametrize("name", ["train", "train.v2.py", "train.txt"])
def test_a_file_that_python_cannot_import_by_name_is_an_error(tmp_path: Path, name):
    file = tmp_path / name
    file.write_text("def main(cfg): ...")
    namespace = {"__name__": "__main__", "__file__": str(file), "__spec__": None}
    exec(file.read_text(), namespace)

    with pytest.raises(DiscoveryError, match=f"{name} cannot be imported by Python under its name"):
        discover(namespace["main"])


@pytest.mark.parametrize(
    ("ending", "line"),
    [
        ("main()\n", 2),
        ("try:\n    main()\nfinally:\n    pass\n", 3),
        ("import sys\nsys.exit(main())\n", 3),
        ("if __name__ == '__main__':\n    main()\n", None),
        ("if 'x' and __name__ == '__main__':\n    main()\n", None),
        ("def run():\n    main()\n", None),
    ],
)
def test_a_program_that_starts_when_it_is_imported_is_an_error(tmp_path: Path, ending, line):
    file = tmp_path / "starts.py"
    file.write_text("def main(cfg=None): ...\n" + ending)
    namespace = {"__name__": "__main__", "__file__": str(file), "__spec__": None}
    exec("def main(cfg=None): ...", namespace)

    with pytest.raises(DiscoveryError) as caught:
        discover(namespace["main"])

    if line is None:
        assert "defines and imports no Flyte workflow" in caught.value.message
    else:
        assert caught.value.message.startswith(f"{file}:{line} runs the program whenever the module is imported")

"""Cases of what workflows are built from: branches, levels, children, dynamic and map tasks, attempts, attributes."""

from datetime import datetime, timedelta, timezone

import parity_attempts
import parity_attributes
import parity_branches
import parity_cache
import parity_children
import parity_dynamic
import parity_levels
import parity_maps
from flytekit import Options
from tests.acceptance.parity.cases import Case, Failure

OK, FAILED, ABORTED, SKIPPED = "SUCCEEDED", "FAILED", "ABORTED", "SKIPPED"
ENDS = {"start-node": OK, "end-node": OK}
PRIMITIVES = ("conditional: every primitive kind",)
ARMS = ("conditional: nested, else, error arm",)


def refused(x: int) -> Failure:
    """The failure of a task that raises ValueError, whatever is around it."""
    return Failure(code="USER:RuntimeError", message=f"ValueError: no {x}", in_process=f"no {x}")


def empty(**others):
    """Inputs with a folder of their own."""
    return lambda folder: {"folder": str(folder), **others}


BRANCHES = (
    Case(
        name="a condition that holds takes the first arm",
        covers=ARMS,
        workflow=parity_branches.first_arm_else_arm,
        inputs={"x": 11},
        outputs={"o0": 22},
        nodes={**ENDS, "n0": OK, "n0-0-n0-n0": OK},
    ),
    Case(
        name="a condition that does not hold takes the else arm",
        covers=ARMS,
        workflow=parity_branches.first_arm_else_arm,
        inputs={"x": 10},
        outputs={"o0": -10},
        nodes={**ENDS, "n0": OK, "n0-0-n0-n1": OK},
    ),
    Case(
        name="the first condition that holds decides",
        covers=ARMS,
        workflow=parity_branches.middle_arm,
        inputs={"x": 0},
        outputs={"o0": "zero"},
    ),
    Case(
        name="a conditional in an arm of a conditional",
        covers=ARMS,
        workflow=parity_branches.nested,
        inputs={"x": 3, "y": 0.5},
        outputs={"o0": 6},
    ),
    Case(
        name="the else arm of an inner conditional",
        covers=ARMS,
        workflow=parity_branches.nested,
        inputs={"x": 3, "y": 0.25},
        outputs={"o0": 12},
    ),
    Case(
        name="no arm holds and the error arm fails the node",
        covers=ARMS,
        workflow=parity_branches.no_arm_is_true,
        inputs={"x": 2},
        failure=Failure(code="UserProvidedError", message="only 1 will do", in_process="only 1 will do"),
        nodes={"start-node": OK, "n0": FAILED},
    ),
    Case(
        name="conditions joined by and",
        covers=("conditional: boolean expressions",),
        workflow=parity_branches.both_and_either,
        inputs={"x": 1, "y": 1},
        outputs={"o0": "both"},
    ),
    Case(
        name="conditions joined by or",
        covers=("conditional: boolean expressions",),
        workflow=parity_branches.both_and_either,
        inputs={"x": 0, "y": 1},
        outputs={"o0": "either"},
    ),
    Case(
        name="no joined condition holds",
        covers=("conditional: boolean expressions",),
        workflow=parity_branches.both_and_either,
        inputs={"x": 0, "y": 0},
        outputs={"o0": "neither"},
    ),
    Case(
        name="a condition on a float",
        covers=PRIMITIVES,
        workflow=parity_branches.by_float,
        inputs={"x": 0.5},
        outputs={"o0": "low"},
    ),
    Case(
        name="a condition on a text",
        covers=PRIMITIVES,
        workflow=parity_branches.by_text,
        inputs={"x": "no"},
        outputs={"o0": "stop"},
    ),
    Case(
        name="a condition on the truth of an output",
        covers=PRIMITIVES,
        workflow=parity_branches.by_truth,
        inputs={"x": 4},
        outputs={"o0": "even"},
    ),
    Case(
        name="a condition on the falsehood of an input",
        covers=PRIMITIVES,
        workflow=parity_branches.by_falsehood,
        inputs={"flag": False},
        outputs={"o0": "off"},
    ),
    Case(
        name="a condition on an instant",
        covers=PRIMITIVES,
        workflow=parity_branches.by_instant,
        inputs={"at": datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
        outputs={"o0": "this year"},
    ),
    Case(
        name="a condition on a duration",
        covers=PRIMITIVES,
        workflow=parity_branches.by_duration,
        inputs={"took": timedelta(minutes=59)},
        outputs={"o0": "quick"},
    ),
    Case(
        name="a condition on nothing",
        covers=(*PRIMITIVES, "unions and optionals"),
        workflow=parity_branches.by_nothing,
        inputs={"x": 0},
        outputs={"o0": "none"},
    ),
    Case(
        name="a conditional with several outputs",
        covers=ARMS,
        workflow=parity_branches.several_outputs,
        inputs={"x": -1},
        outputs={"left": 0, "right": -1},
    ),
    Case(
        name="a conditional on the output of a conditional",
        covers=ARMS,
        workflow=parity_branches.used_further,
        inputs={"x": 6},
        outputs={"o0": -12},
        nodes={**ENDS, "n0": OK, "n0-0-n0-n0": OK, "n1": OK, "n1-0-n1-n0": OK},
    ),
    Case(
        name="a conditional without outputs",
        covers=ARMS,
        workflow=parity_branches.without_outputs,
        inputs={"x": 1},
    ),
    Case(
        name="a workflow as an arm",
        covers=ARMS,
        workflow=parity_branches.arm_is_a_workflow,
        inputs={"x": 2},
        outputs={"o0": 8},
    ),
    Case(
        name="a conditional in a dynamic task",
        covers=(*ARMS, "dynamic: nested, static, recursive"),
        workflow=parity_branches.in_a_dynamic_task,
        inputs={"x": 3},
        outputs={"o0": 12},
    ),
    Case(
        name="a conditional in a sub-workflow",
        covers=ARMS,
        workflow=parity_branches.below_a_sub_workflow,
        inputs={"x": 1},
        outputs={"o0": -2},
        nodes={
            **ENDS,
            "n0": OK,
            "n0-0-start-node": OK,
            "n0-0-n0": OK,
            "n0-0-n0-0-n0-n1": OK,
            "n0-0-end-node": OK,
            "n1": OK,
        },
    ),
)

LEVELS = (
    Case(
        name="workflows in workflows, twice",
        covers=("sub-workflow: nested",),
        workflow=parity_levels.nested_twice,
        inputs={"a": 1},
        outputs={"total": 23, "steps": "innerinner"},
    ),
    Case(
        name="an input as an output",
        covers=("sub-workflow: nested",),
        workflow=parity_levels.passes_through,
        inputs={"a": 5},
        outputs={"o0": 5, "o1": 6},
    ),
    Case(
        name="defaults of tasks and workflows",
        covers=("sub-workflow: nested",),
        workflow=parity_levels.constants_and_defaults,
        outputs={"o0": 4, "o1": "xy"},
    ),
    Case(
        name="neither inputs nor outputs",
        covers=("sub-workflow: nested",),
        workflow=parity_levels.no_inputs_no_outputs,
        nodes={**ENDS, "n0": OK},
    ),
    Case(
        name="nodes in the order they were told",
        covers=("sub-workflow: nested",),
        workflow=parity_levels.in_the_order_told,
        inputs=empty(),
        outputs={"o0": "a,b"},
    ),
    Case(
        name="lists and dicts of promises",
        covers=("lists and dicts",),
        workflow=parity_levels.lists_and_dicts_of_promises,
        inputs={"a": 1},
        outputs={"o0": [2, 3, 7], "o1": {"one": 2, "two": 3}},
    ),
    Case(
        name="an imperative workflow",
        covers=("sub-workflow: nested",),
        workflow=parity_levels.imperative,
        inputs={"a": 1},
        outputs={"result": 13},
    ),
    Case(
        name="an echo task needs no process",
        covers=("sub-workflow: nested",),
        workflow=parity_levels.echoes,
        inputs={"a": 1},
        outputs={"o0": 2},
    ),
    Case(
        name="the first failure fails the workflow",
        covers=("failure policies",),
        workflow=parity_levels.fails_at_once,
        inputs=empty(x=7),
        failure=refused(7),
        nodes={"start-node": OK, "n0": FAILED},
        attempts={"n0": (FAILED,)},
        leaves={},
    ),
    Case(
        name="others finish after a failure",
        covers=("failure policies",),
        workflow=parity_levels.finishes_others,
        inputs=empty(x=7),
        failure=refused(7),
        nodes={"start-node": OK, "n0": FAILED, "n1": OK, "n2": OK, "n3": OK, "n4": SKIPPED},
        leaves={"other": (), "after": ()},
    ),
    Case(
        name="a failure handler runs and the first error stays",
        covers=("on_failure with the error input",),
        workflow=parity_levels.is_cleaned_up,
        inputs=empty(x=7),
        failure=refused(7),
        nodes={"start-node": OK, "n0": FAILED, "fn0": OK},
        leaves={"handled": ("7 fn0 Trace:", "ValueError: no 7")},
    ),
    Case(
        name="the error of a failure handler counts",
        covers=("on_failure with the error input",),
        workflow=parity_levels.clean_up_fails,
        inputs={"x": 7},
        failure=Failure(
            code="USER:RuntimeError", message="cannot clean up after 7", in_process="cannot clean up after 7"
        ),
        nodes={"start-node": OK, "n0": FAILED, "fn0": FAILED},
    ),
    Case(
        name="a failure handler that is not needed",
        covers=("on_failure with the error input",),
        workflow=parity_levels.needs_no_clean_up,
        inputs=empty(x=7),
        outputs={"o0": 8},
        nodes={**ENDS, "n0": OK},
        leaves={},
    ),
    Case(
        name="a failure handler of a sub-workflow",
        covers=("sub-workflow: with a failure node",),
        workflow=parity_levels.sub_workflow_is_cleaned_up,
        inputs=empty(x=7),
        failure=refused(7),
        nodes={"start-node": OK, "n0": FAILED, "n0-0-start-node": OK, "n0-0-n0": FAILED, "n0-0-fn0": OK},
        leaves={"handled": ("7 fn0 Trace:", "ValueError: no 7")},
    ),
    Case(
        name="a failure in a sub-workflow",
        covers=("sub-workflow: nested",),
        workflow=parity_levels.fails_below,
        inputs={"x": 7},
        failure=refused(7),
        nodes={"start-node": OK, "n0": FAILED, "n0-0-start-node": OK, "n0-0-n0": FAILED},
    ),
)

CHILDREN = (
    Case(
        name="launch plans as nodes, with defaults and fixed inputs",
        covers=("launch-plan node: child executions", "launch plans: default and fixed inputs"),
        workflow=parity_children.children,
        inputs={"a": 1},
        outputs={"o0": 1101},
        nodes={**ENDS, "n0": OK, "n1": OK},
    ),
    Case(
        name="children of children",
        covers=("launch-plan node: child executions",),
        workflow=parity_children.grandchildren,
        inputs={"a": 1},
        outputs={"o0": 1102},
    ),
    Case(
        name="a child that fails",
        covers=("launch-plan node: child executions",),
        workflow=parity_children.child_fails,
        inputs={"a": 7},
        failure=refused(7),
        nodes={"start-node": OK, "n0": FAILED},
    ),
    Case(
        name="a gate that waits for a number",
        covers=("gate: signal",),
        workflow=parity_children.waits_for_a_number,
        inputs={"a": 1},
        answers={"number": 41},
        outputs={"o0": 42},
        nodes={**ENDS, "n0": OK, "n1": OK},
    ),
    Case(
        name="a gate that waits for a text and gives it",
        covers=("gate: signal",),
        workflow=parity_children.waits_for_a_text,
        inputs={"a": 1},
        answers={"text": "said"},
        outputs={"o0": "said"},
    ),
    Case(
        name="an approval lets the value through",
        covers=("gate: approve and reject",),
        workflow=parity_children.waits_for_approval,
        inputs={"a": 1},
        answers={"fine": True},
        outputs={"o0": 3},
    ),
    Case(
        name="a rejection fails the execution",
        covers=("gate: approve and reject",),
        workflow=parity_children.waits_for_approval,
        inputs={"a": 2},
        answers={"fine": False},
        failure=Failure(code="ReceivedRejectSignal", message="", in_process="did not approve"),
        nodes={"start-node": OK, "n0": OK, "n1": FAILED},
    ),
    Case(
        name="a gate in a sub-workflow",
        covers=("gate: signal",),
        workflow=parity_children.waits_in_a_sub_workflow,
        inputs={"a": 1},
        answers={"number": 5},
        outputs={"o0": 7},
    ),
    Case(
        name="a pause between two tasks",
        covers=("gate: sleep",),
        workflow=parity_children.sleeps,
        inputs={"a": 1},
        outputs={"o0": 3},
    ),
    Case(
        name="a task that somebody else registered",
        covers=("reference tasks, workflows, launch plans",),
        workflow=parity_children.refers_to_a_task,
        not_in_process="what is referred to is on the backend alone",
        inputs={"a": 3},
        outputs={"o0": 9},
    ),
    Case(
        name="a launch plan that somebody else registered",
        covers=("reference tasks, workflows, launch plans",),
        workflow=parity_children.refers_to_a_launch_plan,
        not_in_process="what is referred to is on the backend alone",
        inputs={"a": 2},
        outputs={"o0": 17},
    ),
)

DYNAMIC = (
    Case(
        name="a dynamic task",
        covers=("dynamic: nested, static, recursive",),
        workflow=parity_dynamic.flat,
        inputs={"n": 3},
        outputs={"o0": 5},
        nodes={
            **ENDS,
            "n0": OK,
            "n0-0-start-node": OK,
            "n0-0-dn0": OK,
            "n0-0-dn1": OK,
            "n0-0-dn2": OK,
            "n0-0-dn3": OK,
            "n0-0-end-node": OK,
        },
        attempts={"n0": (OK,)},
    ),
    Case(
        name="dynamic tasks and workflows in a dynamic task",
        covers=("dynamic: nested, static, recursive",),
        workflow=parity_dynamic.nested,
        inputs={"n": 2},
        outputs={"o0": 1, "o1": 16, "o2": [4, 9]},
    ),
    Case(
        name="a dynamic task in a sub-workflow",
        covers=("dynamic: in a sub-workflow, with a map inside",),
        workflow=parity_dynamic.below_a_sub_workflow,
        inputs={"n": 3},
        outputs={"o0": 25},
    ),
    Case(
        name="a dynamic task that begins nothing",
        covers=("dynamic: nested, static, recursive",),
        workflow=parity_dynamic.static_result,
        inputs={"n": 2},
        outputs={"o0": 9},
        nodes={**ENDS, "n0": OK, "n1": OK},
    ),
    Case(
        name="a child of a dynamic task that fails",
        covers=("dynamic: nested, static, recursive",),
        workflow=parity_dynamic.child_fails,
        inputs={"n": 7},
        failure=refused(7),
        nodes={"start-node": OK, "n0": FAILED, "n0-0-start-node": OK, "n0-0-dn0": FAILED},
        attempts={"n0": (OK,), "n0-0-dn0": (FAILED,)},
    ),
    Case(
        name="a map in a dynamic task",
        covers=("dynamic: in a sub-workflow, with a map inside",),
        workflow=parity_dynamic.map_inside,
        inputs={"n": 3},
        outputs={"o0": [3, 4, 5]},
    ),
    Case(
        name="a dynamic task over the outputs of others",
        covers=("dynamic: nested, static, recursive",),
        workflow=parity_dynamic.fed_by_tasks,
        inputs={"n": 2},
        outputs={"o0": {"4": 16, "2": 4}},
    ),
    Case(
        name="a dynamic task that calls itself",
        covers=("dynamic: nested, static, recursive",),
        workflow=parity_dynamic.recursive,
        inputs={"n": 2},
        outputs={"o0": 0},
    ),
    Case(
        name="a dynamic task as an arm",
        covers=("dynamic: nested, static, recursive", *ARMS),
        workflow=parity_dynamic.in_an_arm,
        inputs={"n": 3},
        outputs={"o0": 5},
    ),
    Case(
        name="an eager task",
        covers=("eager",),
        workflow=parity_dynamic.doubles,
        inputs={"count": 3},
        outputs={"o0": 6},
    ),
    Case(
        name="an eager task that catches an error",
        covers=("eager",),
        workflow=parity_dynamic.recovers,
        inputs={"x": 3},
        outputs={"o0": 6},
    ),
)

MAPS = (
    Case(
        name="a map, two items at a time",
        covers=("map: concurrency",),
        workflow=parity_maps.two_at_a_time,
        inputs={"xs": [1, 2, 3, 4]},
        outputs={"o0": [2, 3, 4, 5]},
        nodes={**ENDS, "n0": OK},
        attempts={"n0": (OK,)},
    ),
    Case(
        name="a map over nothing",
        covers=("map: no items, many items",),
        workflow=parity_maps.two_at_a_time,
        inputs={"xs": []},
        outputs={"o0": []},
        nodes={**ENDS, "n0": OK},
    ),
    Case(
        name="a map with an input bound to the workflow's",
        covers=("map: bound inputs",),
        workflow=parity_maps.bound_to_an_input,
        inputs={"xs": [1, 2], "by": 10},
        outputs={"o0": [11, 12]},
    ),
    Case(
        name="a map over many items between two tasks",
        covers=("map: no items, many items",),
        workflow=parity_maps.fed_and_summed,
        inputs={"n": 60},
        outputs={"o0": 1890},
    ),
    Case(
        name="items that may fail give None",
        covers=("map: min_success_ratio, None for failed items",),
        workflow=parity_maps.some_may_fail,
        inputs={"xs": [1, -1, 3]},
        outputs={"o0": [1, None, 3]},
        nodes={**ENDS, "n0": OK},
    ),
    Case(
        name="more items fail than may",
        covers=("map: min_success_ratio, None for failed items",),
        workflow=parity_maps.too_many_fail,
        inputs={"xs": [-1, -2, 3]},
        failure=Failure(code="", message="is negative", in_process="is negative"),
        nodes={"start-node": OK, "n0": FAILED},
    ),
    Case(
        name="no item may fail and one does",
        covers=("map: min_success_ratio, None for failed items",),
        workflow=parity_maps.none_may_fail,
        inputs={"xs": [1, -1]},
        failure=Failure(code="", message="[1]: ", in_process="-1 is negative"),
        attempts={"n0": (FAILED,)},
    ),
    Case(
        name="one item is tried again",
        covers=("retries: user, system, recoverable",),
        workflow=parity_maps.tried_again,
        inputs={"xs": [1, 2, 3]},
        outputs={"o0": [1, 2, 3]},
    ),
    Case(
        name="a map over several lists",
        covers=("map: bound inputs",),
        workflow=parity_maps.several_lists,
        inputs={"names": ["a", "b"], "numbers": [1, 2]},
        outputs={"o0": ["a0.5", "b1"]},
    ),
    Case(
        name="a map over dataclasses",
        covers=("map: no items, many items", "dataclasses"),
        workflow=parity_maps.of_dataclasses,
        inputs={"points": [parity_maps.Point(1, 2), parity_maps.Point(3, 4)]},
        outputs={"o0": [{"x": 2, "y": 1}, {"x": 4, "y": 3}]},
    ),
    Case(
        name="a map over a map",
        covers=("map: no items, many items",),
        workflow=parity_maps.map_of_a_map,
        inputs={"xs": [1, 2]},
        outputs={"o0": [12, 13]},
    ),
    Case(
        name="a map that gives nothing",
        covers=("map: no items, many items",),
        workflow=parity_maps.gives_nothing,
        inputs={"xs": [1, 2]},
    ),
    Case(
        name="items know their index",
        covers=("map: concurrency",),
        workflow=parity_maps.items_know_their_index,
        not_in_process="there is no index without a backend",
        inputs={"xs": [7, 8]},
        outputs={"o0": ["7 is item 0", "8 is item 1"]},
    ),
    Case(
        name="a map in a sub-workflow",
        covers=("map: concurrency",),
        workflow=parity_maps.in_a_sub_workflow,
        inputs={"xs": [1, 2]},
        outputs={"o0": 5},
    ),
)

ATTEMPTS = (
    Case(
        name="a recoverable error is tried again",
        covers=("retries: user, system, recoverable",),
        workflow=parity_attempts.recoverable,
        inputs={"x": 7},
        outputs={"o0": 7},
        attempts={"n0": (FAILED, FAILED, OK)},
    ),
    Case(
        name="recoverable errors use up the retries",
        covers=("retries: user, system, recoverable",),
        workflow=parity_attempts.unrecoverable,
        inputs={"x": 7},
        failure=Failure(
            code="RetriesExhausted|USER:Recoverable",
            message="[2/2] currentAttempt done. Last Error: USER::",
            in_process="of 7",
        ),
        nodes={"start-node": OK, "n0": FAILED},
        attempts={"n0": (FAILED, FAILED)},
    ),
    Case(
        name="a plain error is final whatever the retries",
        covers=("retries: user, system, recoverable",),
        workflow=parity_attempts.not_retried,
        inputs={"x": 7},
        failure=Failure(code="USER:RuntimeError", message="ValueError: attempt 0 of 7", in_process="of 7"),
        attempts={"n0": (FAILED,)},
    ),
    Case(
        name="an exit code is tried again",
        covers=("retries: user, system, recoverable",),
        workflow=parity_attempts.exit_codes,
        inputs={"code": 3},
        failure=Failure(
            code="RetriesExhausted|Error", message="[2/2] currentAttempt done. Last Error: USER::", in_process=""
        ),
        attempts={"n0": (FAILED, FAILED)},
    ),
    Case(
        name="an exit code without retries",
        covers=("retries: user, system, recoverable",),
        workflow=parity_attempts.exit_code_without_retries,
        inputs={"code": 3},
        failure=Failure(
            code="RetriesExhausted|Error", message="terminated with exit code (3). Reason [Error]", in_process=""
        ),
        attempts={"n0": (FAILED,)},
    ),
    Case(
        name="processes that are killed are tried again without retries",
        covers=("retries: user, system, recoverable",),
        workflow=parity_attempts.system_failures,
        inputs={"x": 7},
        outputs={"o0": 7},
        attempts={"n0": (FAILED, FAILED, OK)},
    ),
    Case(
        name="a checkpoint is read by the next attempt",
        covers=("checkpoints across retries",),
        workflow=parity_attempts.checkpoints,
        inputs={"x": 7},
        outputs={"o0": 7},
        attempts={"n0": (FAILED, FAILED, OK)},
    ),
    Case(
        name="a task with a deck",
        covers=("decks",),
        workflow=parity_attempts.deck,
        inputs={"x": 7},
        outputs={"o0": 7},
    ),
    Case(
        name="an interruptible task",
        covers=("interruptible",),
        workflow=parity_attempts.may_be_interrupted,
        inputs={"x": 7},
        outputs={"o0": 7},
    ),
    Case(
        name="the timeout of the node counts",
        covers=("overrides: resources, image, retries, timeout, cache, name", "timeouts"),
        workflow=parity_attempts.overridden_timeout,
        inputs={"seconds": 600},
        failure=Failure(code="RetriesExhausted|TimeoutExpired", message="", in_process=""),
        attempts={"n0": (FAILED,)},
    ),
    Case(
        name="names, resources and images of nodes",
        covers=("overrides: resources, image, retries, timeout, cache, name",),
        workflow=parity_attempts.overridden_names_and_resources,
        inputs={"x": 7},
        outputs={"o0": 7},
        nodes={**ENDS, "small": OK, "other-image": OK},
    ),
)

ATTRIBUTES = (
    Case(
        name="fields of a dataclass",
        covers=("attribute access: dataclass, dict, list, pydantic",),
        workflow=parity_attributes.of_a_dataclass,
        outputs={"o0": 1, "o1": "leaf", "o2": 0.5},
    ),
    Case(
        name="items in a dataclass",
        covers=("attribute access: dataclass, dict, list, pydantic",),
        workflow=parity_attributes.items_in_a_dataclass,
        outputs={"o0": "b2", "o1": 2, "o2": "c3", "o3": 3},
    ),
    Case(
        name="fields of a pydantic model",
        covers=("attribute access: dataclass, dict, list, pydantic",),
        workflow=parity_attributes.of_a_model,
        outputs={"o0": 4, "o1": "q", "o2": 5},
    ),
    Case(
        name="items of lists and dicts",
        covers=("attribute access: dataclass, dict, list, pydantic",),
        workflow=parity_attributes.of_lists_and_dicts,
        outputs={"o0": 3, "o1": 6, "o2": 0.75},
    ),
    Case(
        name="items of named outputs",
        covers=("attribute access: dataclass, dict, list, pydantic", "named outputs"),
        workflow=parity_attributes.of_named_outputs,
        outputs={"o0": 8, "o1": "v"},
    ),
    Case(
        name="a field of an input",
        covers=("attribute access: dataclass, dict, list, pydantic",),
        workflow=parity_attributes.of_an_input,
        inputs={"given": parity_attributes.Tree(leaf=parity_attributes.Leaf(9))},
        outputs={"o0": 9},
    ),
    Case(
        name="fields as outputs of the workflow",
        covers=("attribute access: dataclass, dict, list, pydantic",),
        workflow=parity_attributes.as_an_output,
        outputs={"o0": 1, "o1": "a"},
    ),
    Case(
        name="an item that is not there",
        covers=("attribute access: dataclass, dict, list, pydantic",),
        workflow=parity_attributes.absent_item,
        failure=Failure(code="BindingResolutionFailure", message="", in_process="index 5 out of range 2"),
        nodes={"start-node": OK, "n0": OK, "n1": FAILED},
    ),
)

SETTINGS = (
    Case(
        name="variables of the execution and of the task",
        covers=("launch-plan node: settings handed down",),
        workflow=parity_attempts.environment,
        not_in_process="variables of the execution are set on the backend",
        inputs={"name": "PARITY"},
        settings={"envs": {"PARITY": "of the execution"}},
        outputs={"o0": "of the execution", "o1": "of the task"},
    ),
    Case(
        name="nodes that may not run side by side",
        covers=("max_parallelism",),
        workflow=parity_attempts.side_by_side,
        settings={"options": Options(max_parallelism=1)},
        outputs={"o0": 0},
    ),
    Case(
        name="variables are handed down to child executions",
        covers=("launch-plan node: settings handed down",),
        workflow=parity_children.child_is_told,
        not_in_process="variables of the execution are set on the backend",
        inputs={"name": "PARITY"},
        settings={"envs": {"PARITY": "of the parent"}},
        outputs={"o0": "of the parent"},
    ),
    Case(
        name="retries of the node count",
        covers=("overrides: resources, image, retries, timeout, cache, name",),
        workflow=parity_attempts.overridden_retries,
        not_in_process="it says which attempt it was",
        inputs={"x": 7},
        outputs={"o0": "7 in attempt 2"},
        attempts={"n0": (FAILED, FAILED, OK)},
    ),
    Case(
        name="a gate that nobody answers",
        covers=("timeouts", "gate: signal"),
        workflow=parity_children.waits_in_vain,
        inputs={"a": 1},
        failure=Failure(code="RetriesExhausted|TimeoutExpired", message="", in_process=""),
        nodes={"start-node": OK, "n0": "FAILED"},
    ),
    Case(
        name="a task and a launch plan of another project",
        covers=("cross-project references",),
        workflow=parity_children.refers_to_another_project,
        not_in_process="what is referred to is on the backend alone",
        inputs={"x": 2},
        outputs={"o0": 20},
    ),
)

CACHE = (
    Case(
        name="a cached task without outputs",
        covers=("cache: hit and populated, with catalog metadata",),
        workflow=parity_cache.gives_nothing,
        inputs={"key": "k"},
    ),
)

CONSTRUCTS = (*BRANCHES, *LEVELS, *CHILDREN, *DYNAMIC, *MAPS, *ATTEMPTS, *ATTRIBUTES, *SETTINGS, *CACHE)

"""Workflows at random: all kinds of nodes, in all places, from one random generator.

The one rule: what is drawn depends on the generator and the wishes alone, so a seed gives the same workflow again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.literals_pb2 import BindingData, RetryStrategy
from flyteidl.core.tasks_pb2 import TaskMetadata, TaskTemplate
from flyteidl.core.workflow_pb2 import Node, WorkflowTemplate
from tests.unit.backend.workflows import (
    INT,
    NONE,
    PLAN,
    approve_node,
    array_node,
    array_over,
    bind,
    branch_node,
    collect,
    compare,
    compiled,
    const,
    given,
    list_of,
    older_map_task,
    plan_node,
    ref,
    signal_node,
    sleep_node,
    task,
    task_node,
    union_of,
    variables,
    workflow,
    workflow_node,
)

from hydraflyte.backend.compiler.dynamic import compile_dynamic
from hydraflyte.backend.compiler.interfaces import Registered
from hydraflyte.backend.engine.graph import entity_key
from hydraflyte.identifiers import AttemptId

MAPPED = "mapped"
OLDER = "older"
DYNAMIC = "dynamic"  # the task whose attempts produce workflows


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What workflows may hold.

    Attributes:
        clocks: whether anything depends on time: timeouts and pauses.
        waits_for_all: whether every workflow lets others finish after a failure; else as drawn.
    """

    clocks: bool = True
    waits_for_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grower:
    """Draws tasks once, and as many workflows of them as it is asked for."""

    rng: random.Random
    wishes: Wishes = field(default_factory=Wishes)
    tasks: list[TaskTemplate] = field(default_factory=list)
    subs: list[WorkflowTemplate] = field(default_factory=list)

    def closure(self) -> CompiledWorkflowClosure:
        """Return a compiled workflow, with up to three others below it."""
        self.tasks.extend(self._draw_tasks())
        for number in range(self.rng.randrange(4)):
            self.subs.append(self._workflow(f"sub{number}"))
        return compiled(self._workflow("main"), self.tasks, self.subs)

    def produced(self, attempt: AttemptId) -> CompiledWorkflowClosure:
        """Return what an attempt of a dynamic task makes: a workflow of the same tasks, that takes nothing."""
        tasks = [template for template in self.tasks if template.id.name not in (MAPPED, OLDER)]
        nodes: list[Node] = []
        for number in range(self.rng.randrange(1, 4)):
            source = ref(self.rng.choice(nodes).id) if nodes and self.rng.random() < 0.5 else const(number)
            if self.rng.random() < 0.2:
                nodes.append(plan_node(f"dn{number}", x=source))
                continue
            timeout_s = self._seconds(0, 10)
            nodes.append(task_node(f"dn{number}", self.rng.choice(tasks), timeout_s=timeout_s, x=source))
        spec = DynamicJobSpec(nodes=nodes, tasks=tasks, outputs=bind({"o0": ref(self.rng.choice(nodes).id)}))
        registered = Registered(launch_plans={entity_key(PLAN.identifier): PLAN})
        return compile_dynamic(spec, attempt, variables({"o0": INT}), registered)

    def produced_by_name(self, attempt: AttemptId) -> CompiledWorkflowClosure:
        """Return the same workflow whenever it is asked for the same attempt."""
        other = replace(self, rng=random.Random(str(attempt)))
        return other.produced(attempt)

    def _draw_tasks(self) -> list[TaskTemplate]:
        tasks = []
        for number in range(3):
            metadata = self._metadata(0.4, retries=self.rng.randrange(3))
            tasks.append(task(f"t{number}", metadata=metadata, outputs={"o0": INT} if number else None))
        tasks.append(task(DYNAMIC, metadata=self._metadata(0.3, retries=self.rng.randrange(2))))
        ratio = self.rng.choice([1.0, 0.5])
        tasks.append(older_map_task(OLDER, min_success_ratio=ratio, parallelism=self.rng.randrange(3)))
        outputs = {"o0": list_of(union_of(NONE, INT))}
        tasks.append(task(MAPPED, inputs={"x": list_of(INT)}, outputs=outputs, metadata=self._metadata(0.4)))
        return tasks

    def _metadata(self, cached: float, *, retries: int = 0) -> TaskMetadata:
        return TaskMetadata(
            discoverable=self.rng.random() < cached,
            discovery_version="1",
            cache_serializable=self.rng.random() < 0.3,
            retries=RetryStrategy(retries=retries),
        )

    def _workflow(self, name: str) -> WorkflowTemplate:
        nodes: list[Node] = []
        others: list[Node] = []  # nodes whose outputs are not one integer
        for number in range(self.rng.randrange(1, 8)):
            before = [node.id for node in nodes]
            if before and self.rng.random() < 0.2:
                others.append(self._array(f"m{number}", before))
            elif self.wishes.clocks and before and self.rng.random() < 0.05:
                others.append(sleep_node(f"z{number}", self.rng.choice([0, 5, 30]), after=before[-1:]))
            else:
                nodes.append(self._node(f"n{number}", before))
                if others and self.rng.random() < 0.5:
                    nodes[-1].upstream_node_ids.append(self.rng.choice(others).id)
        failure_node = self._node("fn0", []) if self.rng.random() < 0.25 else None
        return workflow(
            name,
            [*nodes, *others],
            outputs={"o0": (INT, ref(self.rng.choice(nodes).id))},
            failure_node=failure_node,
            finishes_others=self.rng.random() < 0.5 or self.wishes.waits_for_all,
        )

    def _node(self, node_id: str, before: list[str]) -> Node:
        return self._branch(node_id, before) if self.rng.random() < 0.15 else self._plain_node(node_id, before)

    def _branch(self, node_id: str, before: list[str]) -> Node:
        """A branch node over a value of which nobody knows; its arms may be branches, its default an error."""
        arms = []
        source = self._source(before)
        for number in range(self.rng.randrange(1, 3)):
            condition = compare("$v", self.rng.choice(["EQ", "GT", "LTE"]), self.rng.randrange(3))
            arms.append((condition, self._node(f"a{number}", before)))
        default = self._plain_node("a9", before) if self.rng.random() < 0.8 else None
        return branch_node(node_id, arms, default=default, error="no arm", v=source)

    def _plain_node(self, node_id: str, before: list[str]) -> Node:
        source = self._source(before)
        after = self.rng.sample(before, k=min(len(before), self.rng.choice([0, 0, 1, 2])))
        chance = self.rng.random()
        if chance < 0.08:
            return plan_node(node_id, after=after, x=source)
        if chance < 0.12:
            return signal_node(node_id, f"s{self.rng.randrange(3)}", timeout_s=self._seconds(0, 10), after=after)
        if chance < 0.16:
            return approve_node(node_id, f"ok{self.rng.randrange(6)}", after=after, o0=source)
        if self.subs and self.rng.random() < 0.35:
            return workflow_node(node_id, self.rng.choice(self.subs), after=after, x=source)
        return task_node(
            node_id,
            self.rng.choice(self.tasks[:-2]),
            retries=self.rng.choice([0, 0, 1, 3]),
            timeout_s=self._seconds(0, 0, 0, 10, 40),
            after=after,
            x=source,
        )

    def _array(self, node_id: str, before: list[str]) -> Node:
        """A map, of any kind, over up to four items, all of them equal."""
        items = collect(*[self._source(before)] * self.rng.randrange(5))
        retries = self.rng.choice([0, 1])
        limits = {
            "parallelism": self.rng.choice([0, 0, 1, 2]),
            "min_success_ratio": self.rng.choice([1.0, 0.5]),
        }
        *plain, older, mapped = self.tasks
        kind = self.rng.choice(["map task", "map task", "older", "launch plan", "plain task"])
        if kind == "map task":
            return array_node(node_id, mapped, retries=retries, x=items, **limits)
        if kind == "older":
            return task_node(node_id, older, retries=retries, x=items)
        is_plan = kind == "launch plan"
        work = plan_node(node_id) if is_plan else task_node(node_id, self.rng.choice(plain[:3]), retries=retries)
        return array_over(work, x=items, **limits)

    def _source(self, before: list[str]) -> BindingData:
        return ref(self.rng.choice(before)) if before and self.rng.random() < 0.7 else given("x")

    def _seconds(self, *choices: int) -> int:
        chosen = self.rng.choice(choices)
        return chosen if self.wishes.clocks else 0

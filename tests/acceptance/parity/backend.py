"""What tests ask of a backend, through an unmodified FlyteRemote: begin, wait, and look at nodes and attempts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flyteidl.core.execution_pb2 import NodeExecution, TaskExecution
from flytekit.remote import FlyteRemote
from flytekit.remote.executions import FlyteWorkflowExecution

PATIENCE_S = 300


class Backend:
    """Runs workflows and tasks that ``find`` finds, registered."""

    def __init__(self, remote: FlyteRemote, find: Callable[[Any], Any]) -> None:
        self.remote = remote
        self.find = find

    def start(self, entity, inputs, **settings) -> FlyteWorkflowExecution:
        """Begin an execution of a workflow, or of a task on its own."""
        hints = entity.python_interface.inputs
        return self.remote.execute(self.find(entity), inputs=inputs, type_hints=hints, wait=False, **settings)

    def wait(self, execution) -> FlyteWorkflowExecution:
        """Return the execution as it ended."""
        return self.remote.wait(execution, poll_interval=0.05, timeout=PATIENCE_S, sync_nodes=False)

    def run(self, entity, inputs, **settings) -> FlyteWorkflowExecution:
        """Run a workflow, or a task on its own, to its end."""
        return self.wait(self.start(entity, inputs, **settings))

    def answer(self, execution, signal_id, value):
        """Give a signal its value once its gate has opened it; an approval takes True or False."""
        deadline = time.monotonic() + PATIENCE_S
        while signal_id not in [signal.id.signal_id for signal in self.remote.list_signals(execution.id.name)]:
            assert time.monotonic() < deadline, f"the signal {signal_id} was not opened"
            time.sleep(0.05)
        if isinstance(value, bool):
            (self.remote.approve if value else self.remote.reject)(signal_id, execution.id.name)
        else:
            self.remote.set_input(signal_id, execution.id.name, value=value, python_type=type(value))

    def nodes_of(self, execution, parent=None):
        """Return the node executions of all levels, as the service lists them, by unique id."""
        found = {}
        for node in self.remote.client.list_node_executions(execution.id, limit=1000, unique_parent_id=parent)[0]:
            found[node.id.node_id] = node
            if node.metadata.is_parent_node:
                found |= self.nodes_of(execution, node.id.node_id)
        return found

    def phases_of(self, execution):
        """Return the phases of all node executions, by unique id."""
        return {name: NodeExecution.Phase.Name(node.closure.phase) for name, node in self.nodes_of(execution).items()}

    def attempts_of(self, execution, node_id):
        """Return the task executions of a node, first attempt first."""
        node = self.nodes_of(execution)[node_id]
        tasks = self.remote.client.list_task_executions_paginated(node.id, limit=100)[0]
        return sorted(tasks, key=lambda task: task.id.retry_attempt)

    def attempt_phases(self, execution, node_id):
        """Return the phases of the attempts of a node."""
        return tuple(TaskExecution.Phase.Name(task.closure.phase) for task in self.attempts_of(execution, node_id))

"""All workflows of ``flows`` registered once, and the executions of all chosen cases started together."""

import subprocess
import sys
import time
from pathlib import Path

import parity_shared
import pytest
from flyteidl.core.execution_pb2 import NodeExecution, TaskExecution
from tests.acceptance.parity.table import CASES

FLOWS = Path(__file__).parent / "flows"
VERSION = "parity"
PATIENCE_S = 120


class Suite:
    """The cases of this session: their executions begin together, and each is waited for when it is asked about."""

    def __init__(self, remote, cases, folder):
        self.remote = remote
        self._ended = {}
        self._started = {case.name: self._start(case, folder / str(number)) for number, case in enumerate(cases)}

    def _start(self, case, folder):
        folder.mkdir(parents=True)
        return self.start(case.workflow, case.inputs_in(folder), **case.settings)

    def start(self, workflow, inputs, **settings):
        """Begin an execution of a registered workflow, or of a task on its own."""
        fetch = self.remote.fetch_task if hasattr(workflow, "task_config") else self.remote.fetch_launch_plan
        hints = workflow.python_interface.inputs
        entity = fetch(name=workflow.name, version=VERSION)
        return self.remote.execute(entity, inputs=inputs, type_hints=hints, wait=False, **settings)

    def end_of(self, case):
        """Wait for the case's execution, answering what it asks; returns it as FlyteRemote gives it."""
        if case.name not in self._ended:
            execution = self._started[case.name]
            for signal_id, value in case.answers.items():
                self._answer(execution, signal_id, value)
            self._ended[case.name] = self.remote.wait(
                execution, poll_interval=0.05, timeout=PATIENCE_S, sync_nodes=False
            )
        return self._ended[case.name]

    def _answer(self, execution, signal_id, value):
        deadline = time.monotonic() + PATIENCE_S
        while signal_id not in [signal.id.signal_id for signal in self.remote.list_signals(execution.id.name)]:
            assert time.monotonic() < deadline, f"the signal {signal_id} was not opened"
            time.sleep(0.05)
        if isinstance(value, bool):
            (self.remote.approve if value else self.remote.reject)(signal_id, execution.id.name)
        else:
            self.remote.set_input(signal_id, execution.id.name, value=value, python_type=type(value))

    def run(self, workflow, inputs, **settings):
        """Run a registered workflow to its end, outside the table."""
        execution = self.start(workflow, inputs, **settings)
        return self.remote.wait(execution, poll_interval=0.05, timeout=PATIENCE_S, sync_nodes=False)

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


def register_all(backend):
    """Register every workflow of ``flows`` at once, as a user would."""
    pyflyte = [str(Path(sys.executable).parent / "pyflyte"), "--config", backend.config]
    files = [path.name for path in sorted(FLOWS.glob("*.py"))]
    command = [*pyflyte, "register", "--version", VERSION, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=FLOWS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def register_for_others(remote):
    """Register what workflows of ``flows`` refer to, in their project and in another one."""
    for project, domain in (("flytesnacks", "development"), ("flyteexamples", "staging")):
        remote.register_script(
            parity_shared.fourth_power,
            source_path=str(FLOWS),
            module_name="parity_shared",
            version="shared",
            project=project,
            domain=domain,
        )


@pytest.fixture(scope="session")
def chosen_cases(request):
    """The cases that this session's tests ask for."""
    asked = {item.callspec.params["case"].name for item in request.session.items if _asks_for_a_case(item)}
    return [case for case in CASES if case.name in asked]


def _asks_for_a_case(item):
    return hasattr(item, "callspec") and "case" in item.callspec.params


@pytest.fixture(scope="session")
def suite(remote, flyte_backend, chosen_cases, tmp_path_factory):
    register_for_others(remote)
    register_all(flyte_backend)
    return Suite(remote, chosen_cases, tmp_path_factory.mktemp("parity"))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Tasks that run in process write files where they are, and must not find results of earlier days."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLYTE_LOCAL_CACHE_ENABLED", "false")

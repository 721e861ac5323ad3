"""The workflows of ``flows`` on a backend: all of them registered at once for the table, one by one for other tests."""

import subprocess
import sys
from pathlib import Path

import parity_shared
import pytest
from tests.acceptance.parity.backend import Backend
from tests.acceptance.parity.table import CASES

FLOWS = Path(__file__).parent / "flows"
VERSION = "parity"


class Suite:
    """The cases of this session: their executions begin together, and each is waited for when it is asked about."""

    def __init__(self, backend, cases, folder):
        self.backend = backend
        self._ended = {}
        self._folder = folder
        self._numbers = {case.name: number for number, case in enumerate(cases)}
        self._started = {case.name: self._start(case) for case in cases}

    def folder_of(self, case):
        """Return the folder that the case's execution may write to."""
        return self._folder / str(self._numbers[case.name])

    def _start(self, case):
        folder = self.folder_of(case)
        folder.mkdir(parents=True)
        return self.backend.start(case.workflow, case.inputs_in(folder), **case.settings)

    def end_of(self, case):
        """Wait for the case's execution, answering what it asks; returns it as FlyteRemote gives it."""
        if case.name not in self._ended:
            execution = self._started[case.name]
            for signal_id, value in case.answers.items():
                self.backend.answer(execution, signal_id, value)
            self._ended[case.name] = self.backend.wait(execution)
        return self._ended[case.name]


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
def suite(request, remote, flyte_backend, tmp_path_factory):
    """The cases that this session's tests ask for, all of them begun."""
    register_for_others(remote)
    register_all(flyte_backend)

    def find(entity):
        fetch = remote.fetch_task if hasattr(entity, "task_config") else remote.fetch_launch_plan
        return fetch(name=entity.name, version=VERSION)

    items = [item for item in request.session.items if hasattr(item, "callspec") and "case" in item.callspec.params]
    asked = {item.callspec.params["case"].name for item in items}
    cases = [case for case in CASES if case.name in asked]
    return Suite(Backend(remote, find), cases, tmp_path_factory.mktemp("parity"))


@pytest.fixture(scope="session")
def backend(remote):
    """A backend on which what is run is registered first, once."""
    registered = {}

    def find(entity):
        if entity.name not in registered:
            module = entity.name.rpartition(".")[0]
            registered[entity.name] = remote.register_script(entity, source_path=str(FLOWS), module_name=module)
        return registered[entity.name]

    return Backend(remote, find)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Tasks that run in process write files where they are, and must not find results of earlier days."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLYTE_LOCAL_CACHE_ENABLED", "false")

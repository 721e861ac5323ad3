"""Every case of the table, in process and on the backend: the same outputs, or the same failure, as written down."""

import asyncio
import gc
import inspect

import pytest
from click.testing import CliRunner
from flyteidl.core.execution_pb2 import WorkflowExecution
from tests.acceptance.parity.cases import plain
from tests.acceptance.parity.table import CASES

pytestmark = [
    pytest.mark.timeout(600),  # all executions begin together, and each waits for its turn
    # of flytekit's own code, while it runs in process:
    pytest.mark.filterwarnings("ignore:The '__version__' attribute:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def files_that_flytekit_leaves_open():
    yield
    gc.collect()  # here, where the warning is expected, and not in whichever test comes next


def by_name(cases):
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in cases])


def run_in_process(case, folder):
    """Run the workflow as flytekit does without a backend; what it asks for is typed in."""
    typed = "".join(f"{'ny'[value] if isinstance(value, bool) else value}\n" for value in case.answers.values())
    with CliRunner().isolation(input=typed):
        result = case.workflow(**case.inputs_in(folder))
        return asyncio.run(result) if inspect.iscoroutine(result) else result


@by_name(case for case in CASES if case.failure is None)
def test_the_backend_gives_what_flytekit_gives_in_process(suite, case, tmp_path):
    in_process = case.outputs if case.not_in_process else plain(case.values(run_in_process(case, tmp_path)))

    execution = suite.end_of(case)

    assert execution.error is None, execution.error.message[-3000:]
    assert execution.closure.phase == WorkflowExecution.SUCCEEDED
    types = case.workflow.python_interface.outputs
    given = {name: execution.outputs.get(name, as_type=types[name]) for name in types}
    assert {name: plain(value) for name, value in given.items()} == case.outputs
    assert in_process == case.outputs


@by_name(case for case in CASES if case.failure is not None)
def test_the_backend_fails_as_flytekit_does_in_process(suite, case, tmp_path):
    if case.failure.in_process:
        with pytest.raises(Exception, match=case.failure.in_process):
            run_in_process(case, tmp_path)

    execution = suite.end_of(case)

    assert execution.closure.phase == WorkflowExecution.FAILED
    assert execution.error.code == case.failure.code
    assert case.failure.message in execution.error.message


@by_name(case for case in CASES if case.nodes is not None)
def test_nodes_have_the_ids_and_phases_of_a_cluster(suite, case):
    execution = suite.end_of(case)

    assert suite.backend.phases_of(execution) == case.nodes


@by_name(case for case in CASES if case.attempts is not None)
def test_attempts_end_as_on_a_cluster(suite, case):
    execution = suite.end_of(case)

    assert {name: suite.backend.attempt_phases(execution, name) for name in case.attempts} == case.attempts


@by_name(case for case in CASES if case.leaves is not None)
def test_tasks_leave_the_files_that_they_should_and_no_others(suite, case):
    suite.end_of(case)

    files = {path.name: path.read_text() for path in suite.folder_of(case).iterdir()}
    assert files.keys() == case.leaves.keys()
    assert [(name, part) for name, parts in case.leaves.items() for part in parts if part not in files[name]] == []

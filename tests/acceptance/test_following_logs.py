"""``hydraflyte executions logs -f``: what tasks print is shown while they run, until the execution ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import talkative_flows

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture
def begin(remote):
    def begin_talking(folder):
        workflow = remote.register_script(
            talkative_flows.talks, source_path=str(FLOWS), module_name=talkative_flows.__name__
        )
        return remote.execute(workflow, inputs={"folder": str(folder)}).id.name

    return begin_talking


def following(backend, name, *options):
    command = [sys.executable, "-m", "hydraflyte", "executions", "logs", "-f", name, *options, "--home", backend.home]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines_until(process, text):
    """The lines up to the one with this text; the test's own time limit ends a wait in vain."""
    lines = []
    while not lines or text not in lines[-1]:
        line = process.stdout.readline()
        assert line, f"the output ended without {text!r}: {lines} {process.stderr.read()}"
        lines.append(line.rstrip())
    return [line for line in lines if line]  # flytekit prints an empty line first


def test_lines_are_shown_as_they_are_written_through_all_attempts_until_the_end(flyte_backend, begin, tmp_path):
    name = begin(tmp_path)
    process = following(flyte_backend, name)

    first = lines_until(process, "attempt 0 begins")
    command = [sys.executable, "-m", "hydraflyte", "executions", "list", "--json", "--home", flyte_backend.home]
    listed = {facts["name"]: facts for facts in json.loads(subprocess.check_output(command))}
    (tmp_path / "go-0").touch()
    second = lines_until(process, "attempt 1 begins")
    (tmp_path / "go-1").touch()
    rest, errors = process.communicate(timeout=60)

    assert first == ["==> n0 attempt 0 stdout <==", "attempt 0 begins"]
    assert listed[name]["phase"] == "RUNNING"
    assert listed[name]["duration_s"] > 0  # so far
    assert "==> n0 attempt 0 stderr <==" in second
    assert "attempt 0 goes on" in second
    assert second[-2:] == ["==> n0 attempt 1 stdout <==", "attempt 1 begins"]
    assert "attempt 1 goes on" in rest
    assert rest.endswith("==> n1 attempt 0 stdout <==\n\nthe last words\n")
    assert (process.returncode, errors) == (0, "")


def test_an_execution_that_has_ended_is_shown_once_and_one_node_if_wished(flyte_backend, begin, remote, tmp_path):
    for number in (0, 1):
        (tmp_path / f"go-{number}").touch()
    name = begin(tmp_path)
    remote.wait(remote.fetch_execution(name=name), sync_nodes=False)

    output, _ = following(flyte_backend, name, "--node", "n1", "--json").communicate(timeout=60)

    assert [json.loads(line) for line in output.splitlines()] == [
        {"node": "n1", "attempt": 0, "stream": "stdout", "text": "\nthe last words\n"}
    ]


def test_an_execution_that_does_not_exist_is_refused(flyte_backend):
    process = following(flyte_backend, "nobody")

    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "nobody" in errors

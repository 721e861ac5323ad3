"""The examples with ``-m``: each job becomes a Flyte execution on an embedded backend, as a user starts them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
A_TWO = "data=003df830/06f4f900/00000g50/0000bf10/000bf500/00bf5000/06gfeff3/03554330"


class Terminal:
    """A user's terminal: a home of its own, an empty folder to work in, the backend not started yet."""

    def __init__(self, folder):
        self._folder = folder
        kept = {name: text for name, text in os.environ.items() if name != "FLYTECTL_CONFIG"}
        home = {"HOME": str(folder), "HYDRAFLYTE_HOME": str(folder / "hf"), "COLUMNS": "200"}
        self._environment = {**kept, **home}

    def launch(self, example, *overrides, status=0):
        return self._run([sys.executable, EXAMPLES / example / "train.py", "-m", *overrides], status)

    def ask(self, *arguments):
        """Return what ``hydraflyte … --json`` prints."""
        return json.loads(self._run([sys.executable, "-m", "hydraflyte", *arguments, "--json"], 0))

    def newest(self, count):
        """Return the newest executions with their outputs, oldest first."""
        listed = self.ask("executions", "list", "--limit", str(count))
        return [self.ask("executions", "show", execution["name"]) for execution in reversed(listed)]

    def stop(self):
        self._run([sys.executable, "-m", "hydraflyte", "down"], 0)

    def _run(self, command, status):
        ended = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=150, check=False
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    terminal = Terminal(tmp_path_factory.mktemp("user"))
    yield terminal
    terminal.stop()


def output_of(execution):
    (output,) = execution["outputs"].values()
    return output


def test_the_quickstart_ends_with_a_table_of_accuracies_that_differ_with_the_learning_rate(terminal):
    printed = terminal.launch("quickstart", "model.learning_rate=0.1,0.01")

    fast, slow = sorted(terminal.newest(2), key=output_of, reverse=True)
    assert {fast["phase"], slow["phase"]} == {"SUCCEEDED"}
    assert output_of(fast) > 0.94
    assert 0.80 < output_of(slow) < 0.92
    for learning_rate, execution in (("0.1", fast), ("0.01", slow)):
        (row,) = re.findall(rf"^.*model\.learning_rate={learning_rate}\s.*SUCCEEDED.*$", printed, re.MULTILINE)
        assert f"{output_of(execution):.6g}" in row
    address, _, _key = terminal.ask("status")["console_url"].partition("?")
    assert f"console: {address} " in printed  # without the key, which is for terminals


def test_no_yaml_launches_one_execution_per_value(terminal):
    terminal.launch("no_yaml", "+neighbours=5,200")

    accuracies = sorted(output_of(execution) for execution in terminal.newest(2))

    assert accuracies[0] < 0.92
    assert accuracies[1] > 0.95


def test_two_tasks_computes_the_features_once(terminal):
    terminal.launch("two_tasks")
    terminal.launch("two_tasks", "training.regularisation=10")

    first, second = ([block["text"] for block in logs_of(terminal, execution)] for execution in terminal.newest(2))
    assert any("computing 20 components" in text for text in first)
    assert not any("computing" in text for text in second)
    assert any("training with regularisation 10" in text for text in second)


def test_extra_inputs_hands_the_data_to_each_execution(terminal):
    terminal.launch("extra_inputs", A_TWO, "model.neighbours=1,5")

    assert [output_of(execution) for execution in terminal.newest(2)] == [2, 2]


def test_a_picture_that_is_none_fails_with_the_message_of_the_task(terminal):
    terminal.launch("extra_inputs", "data=nonsense", status=1)

    (execution,) = terminal.newest(1)
    assert execution["phase"] == "FAILED"
    assert "a picture is 8 rows of 8 characters" in execution["error"]


def logs_of(terminal, execution):
    return terminal.ask("executions", "logs", execution["name"])

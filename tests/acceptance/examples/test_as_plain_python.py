"""The examples without ``-m``: plain Python, as a user starts them from a terminal."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*/train.py"))
A_TWO = "data=003df830/06f4f900/00000g50/0000bf10/000bf500/00bf5000/06gfeff3/03554330"

# in a process of its own: `@hydra.main` sets Hydra's version base for the whole process when it decorates
PRINT_TYPES = """
import json, train
from flytekit.core.base_task import Task
from flytekit.core.workflow import WorkflowBase

interfaces = [entity.interface for entity in vars(train).values() if isinstance(entity, (Task, WorkflowBase))]
variables = [variable for each in interfaces for variable in (*each.inputs.values(), *each.outputs.values())]
print(json.dumps([str(variable.type.to_flyte_idl()) for variable in variables]))
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Run an example in an empty folder, with an empty home (flytekit keeps its local cache there)."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(example, *overrides, status=0):
        command = [sys.executable, EXAMPLES / example / "train.py", *overrides]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    return run


def accuracy_in(output):
    return float(re.search(r"^accuracy: (0\.\d{4})$", output, re.MULTILINE)[1])


def test_there_is_a_script_in_every_example():
    assert [script.parent.name for script in SCRIPTS] == ["extra_inputs", "no_yaml", "quickstart", "two_tasks"]


def test_the_quickstart_learns_better_with_the_greater_learning_rate(start):
    fast = accuracy_in(start("quickstart", "model.learning_rate=0.1"))
    slow = accuracy_in(start("quickstart", "model.learning_rate=0.01"))

    assert fast > 0.94
    assert 0.80 < slow < 0.92


def test_the_quickstart_trains_every_choice_of_its_config_groups(start):
    accuracies = [
        accuracy_in(start("quickstart", f"model={model}", f"optimizer={optimizer}"))
        for model, optimizer in [("mlp", "sgd"), ("linear", "adam"), ("mlp", "adam")]
    ]

    assert min(accuracies) > 0.90


def test_no_yaml_takes_inputs_from_the_command_line_alone(start):
    by_default = accuracy_in(start("no_yaml"))
    too_many_neighbours = accuracy_in(start("no_yaml", "+neighbours=200"))

    assert by_default > 0.95
    assert too_many_neighbours < 0.92


def test_two_tasks_runs_again_only_what_a_change_touches(start):
    first = start("two_tasks")
    training_changed = start("two_tasks", "training.regularisation=10")
    features_changed = start("two_tasks", "features.components=10")

    assert "computing 20 components" in first
    assert "training with regularisation 1.0" in first
    assert "computing" not in training_changed
    assert "training with regularisation 10" in training_changed
    assert "computing 10 components" in features_changed
    assert "training with regularisation 1.0" in features_changed


def test_extra_inputs_reads_the_picture_it_is_given(start):
    output = start("extra_inputs", A_TWO)

    assert "digit: 2" in output


def test_extra_inputs_asks_for_the_data_by_name(start):
    output = start("extra_inputs", status=1)

    assert "Missing mandatory value: data" in output


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.parent.name)
def test_no_value_of_an_example_travels_as_a_pickle(script):
    types = json.loads(
        subprocess.run([sys.executable, "-c", PRINT_TYPES], cwd=script.parent, check=True, capture_output=True).stdout
    )

    assert len(types) >= 4
    assert not [literal_type for literal_type in types if "Pickle" in literal_type]

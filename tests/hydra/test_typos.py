"""What is misspelt under ``hydra.launcher``, in a config file or on the command line, is named with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hydra.programs import NO_YAML, WITH_CONFIG, run_program, write_program

CONFIG = """
defaults:
  - _self_
  - override hydra/launcher: flyte

hydra:
  launcher:
    max_concurency: 2
    workflow:
      nmae: x
    notifications:
      - {typ: email, recipients: [a@example.org]}
"""


def test_every_wrong_key_and_value_is_named_with_the_nearest(tmp_path: Path) -> None:
    program = write_program(tmp_path, WITH_CONFIG, config=CONFIG)

    result = run_program(
        program,
        "-m",
        "hydra.launcher.on_failure=fail_fst",
        "hydra.launcher.execution_environment=lokal",
        "hydra.launcher.wait=flase",
    )

    assert result.returncode == 1
    assert "6 settings under hydra.launcher do not fit:" in result.stderr
    for meant in (
        "hydra.launcher.max_concurrency?",
        "hydra.launcher.workflow.name?",
        "hydra.launcher.notifications[0].type?",
        "hydra.launcher.on_failure=fail_fast?",
        "hydra.launcher.execution_environment=local?",
        "hydra.launcher.wait=false?",
    ):
        assert f"did you mean {meant}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("flyte_backend")
@pytest.mark.parametrize(
    ("setting", "said", "meant"),
    [
        (
            "workflow.project=flytesnack",
            "There is no project 'flytesnack' at the embedded backend; its projects are ",
            "hydra.launcher.workflow.project=flytesnacks?",
        ),
        ("resume=lst", "There is no sweep 'lst'", "last?"),
    ],
)
def test_what_only_the_backend_knows_is_named_with_the_nearest_too(
    tmp_path: Path, setting: str, said: str, meant: str
) -> None:
    program = write_program(tmp_path, NO_YAML)

    result = run_program(program, "-m", f"hydra.launcher.{setting}")

    assert result.returncode == 1
    assert said in result.stderr
    assert f"did you mean {meant}" in result.stderr
    assert "Traceback" not in result.stderr

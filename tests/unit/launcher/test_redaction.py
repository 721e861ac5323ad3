"""What is stored where others read it holds no secrets, and says everything else as it was."""

from __future__ import annotations

import pytest

from hydraflyte.launcher.redaction import command_line_without_secrets, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("db.password=hunter2", "db.password=***"),
        ("+hydra.job.env_set.WANDB_API_KEY=hunter2", "+hydra.job.env_set.WANDB_API_KEY=***"),
        ("++service.accessKey=hunter2", "++service.accessKey=***"),
        ("+db={user:me,password:hunter2,port:1}", "+db={user:me,password:***,port:1}"),
        ("+db={password:'hunter 2'}", "+db={password:***}"),
        ("store=s3://me:hunter2@host/bucket", "store=s3://***@host/bucket"),
        ("note=ghp_0123456789abcdefghijABCDEFGHIJ", "note=***"),
        ("model.max_tokens=100", "model.max_tokens=100"),
        ("tokenizer=bert", "tokenizer=bert"),
        ("keyboard=1,2", "keyboard=1,2"),
        ("flyte.tasks.fit.secrets=[wandb/key]", "flyte.tasks.fit.secrets=[wandb/key]"),
        ("path=/a/b", "path=/a/b"),
    ],
)
def test_a_value_that_is_named_or_looks_like_a_secret_goes(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_a_command_line_can_be_typed_again() -> None:
    arguments = ["python", "my train.py", "--token", "hunter2", "--token=hunter2", "-m", "x=1,2"]

    assert command_line_without_secrets(arguments) == "python 'my train.py' --token *** --token=*** -m x=1,2"

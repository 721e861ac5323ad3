"""What an attempt inherits of the backend's environment."""

from pathlib import Path

from hydraflyte.backend.executor.environment import build_environment, select_inherited


def test_a_task_inherits_a_small_named_part():
    backend = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "https_proxy": "http://proxy",
        "AWS_SECRET_ACCESS_KEY": "x",
        "PYTHONPATH": "y",
    }

    assert select_inherited(backend) == {"PATH": "/bin", "LC_ALL": "C", "https_proxy": "http://proxy"}


def test_the_attempts_own_variables_win_and_the_interpreters_folder_comes_first():
    env = build_environment(
        {"PATH": "/bin", "TZ": "UTC"}, {"TZ": "Asia/Tokyo", "PATH": "/own"}, python="/venv/bin/python", tmp=Path("/t")
    )

    assert env == {"PATH": "/venv/bin:/own", "TZ": "Asia/Tokyo", "TMPDIR": "/t"}


def test_a_path_is_there_even_if_nobody_sets_one():
    env = build_environment({}, {}, python="/venv/bin/python", tmp=Path("/t"))

    assert env["PATH"] == "/venv/bin:/usr/local/bin:/usr/bin:/bin"

"""What a user reads of a failure that happened elsewhere."""

from __future__ import annotations

from pathlib import Path

from hydraflyte.launcher.tracebacks import last_line, readable_failure

FROM_FLYTEKIT = """Trace:

    Traceback (most recent call last):
      File "/venv/lib/python3.11/site-packages/flytekit/core/base_task.py", line 767, in dispatch_execute
        native_outputs = self.execute(**native_inputs)
                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      File "/home/me/attempts/p/d/e/n0/0/work/pkg/train.py", line 9, in square
        raise ValueError(f"negative: {x}")
    ValueError: negative: -1.0

Message:

    ValueError: negative: -1.0"""


def test_frames_of_flytekit_are_left_out_and_those_of_the_user_point_to_the_users_files(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "train.py").touch()

    text = readable_failure(FROM_FLYTEKIT, tmp_path)

    assert text == (
        "Traceback (most recent call last):\n"
        f'  File "{tmp_path}/pkg/train.py", line 9, in square\n'
        '    raise ValueError(f"negative: {x}")\n'
        "ValueError: negative: -1.0"
    )


def test_a_file_that_is_not_here_keeps_its_path(tmp_path: Path) -> None:
    assert 'File "/home/me/attempts/p/d/e/n0/0/work/pkg/train.py"' in readable_failure(FROM_FLYTEKIT, tmp_path)


def test_an_exception_with_a_cause_keeps_both_tracebacks(tmp_path: Path) -> None:
    message = (
        "[1/1] currentAttempt done. Last Error: USER::\n"
        "Traceback (most recent call last):\n"
        '  File "/root/train.py", line 3, in load\n'
        "    raise OSError\n"
        "OSError\n"
        "\n"
        "The above exception was the direct cause of the following exception:\n"
        "\n"
        "Traceback (most recent call last):\n"
        '  File "/venv/lib/python3.11/site-packages/flytekit/core/base_task.py", line 767, in dispatch_execute\n'
        "    native_outputs = self.execute(**native_inputs)\n"
        '  File "/root/train.py", line 5, in load\n'
        "    raise RuntimeError('no data') from error\n"
        "RuntimeError: no data"
    )

    text = readable_failure(message, tmp_path)

    assert text.splitlines() == [
        "Traceback (most recent call last):",
        '  File "/root/train.py", line 3, in load',
        "    raise OSError",
        "OSError",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        '  File "/root/train.py", line 5, in load',
        "    raise RuntimeError('no data') from error",
        "RuntimeError: no data",
    ]


def test_a_failure_inside_flytekit_alone_keeps_its_frames(tmp_path: Path) -> None:
    message = (
        "Traceback (most recent call last):\n"
        '  File "/venv/lib/python3.11/site-packages/flytekit/core/base_task.py", line 1, in dispatch_execute\n'
        "    convert()\n"
        "TypeError: cannot convert"
    )

    assert readable_failure(message, tmp_path) == message


def test_a_message_without_a_traceback_stays_as_it_is(tmp_path: Path) -> None:
    assert readable_failure("  The task was killed by SIGKILL.\n", tmp_path) == "The task was killed by SIGKILL."


def test_the_last_line_is_the_exceptions_type_and_text() -> None:
    assert last_line("Traceback (most recent call last):\n  ...\nValueError: negative: -1.0") == (
        "ValueError: negative: -1.0"
    )

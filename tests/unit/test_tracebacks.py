"""What a user reads of a failure that happened elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydraflyte.tracebacks import last_line, readable_failure

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


FROM_OMEGACONF = """Traceback (most recent call last):
  File "/root/train.py", line 12, in fit
    return cfg.alpah
           ^^^^^^^^^
  File "/venv/lib/python3.11/site-packages/omegaconf/dictconfig.py", line 359, in __getattr__
    self._format_and_raise(key=key, value=None, cause=e)
  [Previous line repeated 2 more times]
omegaconf.errors.ConfigAttributeError: Key 'alpah' is not in struct
    full_key: alpah
    object_type=dict"""


def test_frames_of_the_libraries_that_brought_the_config_are_left_out(tmp_path: Path) -> None:
    assert readable_failure(FROM_OMEGACONF, tmp_path).splitlines() == [
        "Traceback (most recent call last):",
        '  File "/root/train.py", line 12, in fit',
        "    return cfg.alpah",
        "           ^^^^^^^^^",
        "omegaconf.errors.ConfigAttributeError: Key 'alpah' is not in struct",
        "    full_key: alpah",
        "    object_type=dict",
    ]


def test_frames_of_libraries_are_all_shown_where_there_are_no_others(tmp_path: Path) -> None:
    message = (
        "Traceback (most recent call last):\n"
        '  File "/usr/lib/python3.11/concurrent/futures/_base.py", line 456, in result\n'
        "    return self.__get_result()\n"
        '  File "/venv/lib/python3.11/site-packages/flytekit/core/base_task.py", line 1, in dispatch_execute\n'
        "    convert()\n"
        "TypeError: cannot convert"
    )

    assert readable_failure(message, tmp_path) == message


_TRACEBACK = 'Traceback (most recent call last):\n  File "/root/train.py", line 3, in load\n    load()\n'
_OF_A_TYPE = (
    "flytekit.core.type_engine.TypeTransformerFailedError: Failed to convert outputs of task 't.bad' at position 0.\n"
    "Failed to convert type <class 'str'> to type <class 'int'>.\n"
    "Error Message: Expected value of type <class 'int'> but got 'text' of type <class 'str'>."
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_TRACEBACK + "ValueError: negative: -1.0", "ValueError: negative: -1.0"),
        (FROM_OMEGACONF, "ConfigAttributeError: Key 'alpah' is not in struct"),
        (_TRACEBACK + "ValueError: first\nsecond: line\n  third", "ValueError: first"),
        (_TRACEBACK + "StopIteration", "StopIteration"),
        (
            _TRACEBACK + "OSError\n\nDuring handling of the above exception, another exception occurred:\n\n"
            f"{_TRACEBACK}RuntimeError: no data\nat all",
            "RuntimeError: no data",
        ),
        (
            _TRACEBACK + "hydra.errors.InstantiationException: Error in call to target 'Fraction':\nValueError('a')",
            "InstantiationException: Error in call to target 'Fraction': ValueError('a')",
        ),
        (
            _TRACEBACK
            + "ValueError: Encountered error while executing workflow 'w':\n  Error encountered:\n  2 is no\nor",
            "ValueError: Encountered error while executing workflow 'w': Error encountered: 2 is no",
        ),
        (
            _TRACEBACK + _OF_A_TYPE,
            "TypeTransformerFailedError: Failed to convert outputs of task 't.bad' at position 0. "
            "Expected value of type <class 'int'> but got 'text' of type <class 'str'>.",
        ),
        ("The task was killed by SIGKILL.\n", "The task was killed by SIGKILL."),
        (
            "[n0] terminated with exit code (3). Reason [Error]. Message: \nstarted\nepoch 1",
            "[n0] terminated with exit code (3). Reason [Error]. Message: epoch 1",
        ),
    ],
)
def test_the_last_line_is_the_exceptions_type_and_what_its_text_begins_with(text: str, expected: str) -> None:
    assert last_line(text) == expected

"""Running a builder: its lines, its end, and that nothing of it is left."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images.commands import CommandLine, CommandTimeoutError, run_command


def command(tmp_path, script, **settings):
    return CommandLine(arguments=["sh", "-c", script], environment=dict(os.environ), folder=tmp_path, **settings)


def soon(seconds=20):
    return time.monotonic() + seconds


def ends(pid_file, limit_s=10):
    """Tell whether the process is gone; one that is killed takes a moment."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        shown = subprocess.run(
            ["ps", "-o", "state=", "-p", pid_file.read_text().strip()], capture_output=True, text=True
        )
        if shown.stdout.strip() in ("", "Z"):
            return True
        time.sleep(0.02)
    return False


def test_lines_are_given_as_they_come_and_the_exit_status_counts(tmp_path):
    said = []

    ended = run_command(
        command(tmp_path, "echo one; printf 'two\\rthree\\n' >&2; printf four; exit 3"),
        deadline=soon(),
        say=said.append,
    )

    assert ended.code == 3
    assert said == ["one", "two", "three", "four"]
    assert ended.last_lines == ("one", "two", "three", "four")


def test_only_the_last_lines_are_kept(tmp_path):
    ended = run_command(command(tmp_path, "seq 1 1000"), deadline=soon(), say=lambda line: None)

    assert ended.last_lines == tuple(str(number) for number in range(951, 1001))


def test_masked_values_are_shown_by_nobody(tmp_path):
    said = []

    ended = run_command(
        command(tmp_path, "echo key=hunter22; echo on", masked=["hunter22", "on"]), deadline=soon(), say=said.append
    )

    assert said == ["key=***", "on"]  # what is that short is no secret
    assert ended.text == "key=***\non"


def test_a_value_of_several_lines_is_masked_in_each(tmp_path):
    masked = ["-----BEGIN KEY-----\nc2VjcmV0\r\n  bW9yZQ==\n"]

    ended = run_command(
        command(tmp_path, "echo '#7 0.1 c2VjcmV0'; echo bW9yZQ==", masked=masked),
        deadline=soon(),
        say=lambda line: None,
    )

    assert ended.text == "#7 0.1 ***\n***"


def test_the_last_words_of_a_command_are_heard_whenever_it_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("hydraflyte.launcher.images.commands._LOOK_S", 0.0005)  # to end between two looks more often

    def words(_):
        ending = command(tmp_path, "sleep 0.02; echo at last")
        return run_command(ending, deadline=soon(), say=lambda line: None).text

    with ThreadPoolExecutor(8) as pool:
        heard = set(pool.map(words, range(300)))

    assert heard == {"at last"}


@pytest.mark.parametrize("signals", ["", "trap '' TERM;"])
def test_at_the_deadline_everything_that_was_started_ends(tmp_path, signals, monkeypatch):
    monkeypatch.setattr("hydraflyte.launcher.images.commands._GRACE_S", 0.3)
    script = f"{signals} sh -c '{signals} echo $$ > child; echo begun; sleep 300' & wait"

    with pytest.raises(CommandTimeoutError, match="begun") as failure:
        run_command(command(tmp_path, script), deadline=soon(1), say=lambda line: None)

    assert failure.value.message.startswith("sh was stopped: its time was up.")
    assert ends(tmp_path / "child")


def test_what_a_command_leaves_behind_is_stopped_and_not_waited_for(tmp_path):
    started = time.monotonic()

    ended = run_command(command(tmp_path, "sleep 300 & echo $! > child"), deadline=soon(), say=lambda line: None)

    assert ended.code == 0
    assert time.monotonic() - started < 10
    assert ends(tmp_path / "child")


def test_a_cancelled_command_ends_at_once(tmp_path):
    began = []

    with pytest.raises(ImageError, match=r"The build was cancelled\."):
        run_command(
            command(tmp_path, "echo $$ > child; echo begun; exec sleep 300", is_cancelled=lambda: bool(began)),
            deadline=soon(),
            say=began.append,
        )

    assert ends(tmp_path / "child")


def test_a_program_that_is_not_there_is_named(tmp_path):
    missing = CommandLine(arguments=["no-such-builder"], environment={"PATH": str(tmp_path)}, folder=tmp_path)

    with pytest.raises(ImageError, match="no-such-builder cannot be started: No such file or directory"):
        run_command(missing, deadline=soon(), say=print)


def test_a_program_may_say_anything(tmp_path):
    said = []
    script = f"{sys.executable} -c \"import sys; sys.stdout.buffer.write(b'\\xff\\x1b[31mred\\x1b[0m' + b'x' * 9000)\""

    run_command(command(tmp_path, script), deadline=soon(), say=said.append)

    assert said[0].startswith("�redxxx")
    assert sum(len(line) for line in said) == 9004

"""Where the files of an attempt are."""

import pytest

from hydraflyte.backend.executor.attempts import UnsafeNameError, attempt_dir, log_path, prepare, read_tail
from hydraflyte.identifiers import AttemptId, ExecutionId, NodeId


def attempt(project="p", domain="d", name="e", node="n0", index=None):
    owner = ExecutionId(project=project, domain=domain, name=name)
    return AttemptId(execution=owner, node=NodeId(node), attempt=2, index=index)


def test_every_attempt_and_item_has_a_directory_of_its_own(tmp_path):
    assert attempt_dir(tmp_path, attempt()) == tmp_path / "attempts/p/d/e/n0/2"
    assert attempt_dir(tmp_path, attempt(index=7)) == tmp_path / "attempts/p/d/e/n0/2-7"
    assert log_path(tmp_path, attempt(), "stderr") == tmp_path / "attempts/p/d/e/n0/2/stderr.log"


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc", "a\0b"])
@pytest.mark.parametrize("part", ["project", "domain", "name", "node"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, part, name):
    with pytest.raises(UnsafeNameError, match="no name for a directory"):
        attempt_dir(tmp_path, attempt(**{part: name}))


def test_there_are_two_streams_and_no_other(tmp_path):
    with pytest.raises(UnsafeNameError, match="no stream 'exit'"):
        log_path(tmp_path, attempt(), "exit")


def test_what_an_interrupted_start_left_is_gone_after_a_new_one(tmp_path):
    directory = tmp_path / "attempt"
    prepare(directory)
    (directory / "work" / "half.py").write_text("")
    (directory / "stdout.log").write_text("old")

    prepare(directory)

    assert sorted(path.name for path in directory.rglob("*")) == ["tmp", "work"]


def test_the_tail_of_a_log_is_its_last_twenty_lines(tmp_path):
    log = tmp_path / "stdout.log"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))

    tail = read_tail(log)

    assert tail.splitlines() == [f"line {number}" for number in range(99_980, 100_000)]


def test_the_tail_of_a_log_that_does_not_exist_is_empty(tmp_path):
    assert read_tail(tmp_path / "stdout.log") == ""

"""What a container's command line asks for."""

import doctest

import pytest

from hydraflyte.backend.executor.zygote import command
from hydraflyte.backend.executor.zygote.command import Command, CommandError, parse

FAST = ["pyflyte-fast-execute", "--additional-distribution", "/b.tar.gz"]


def test_the_example_in_the_documentation_is_true():
    assert doctest.testmod(command).failed == 0


def test_fast_execute_tells_the_task_where_its_code_is_before_the_resolver():
    argv = [
        *FAST,
        "--dest-dir",
        "/root",
        "--",
        "pyflyte-execute",
        "--inputs",
        "i",
        "--resolver",
        "r",
        "--",
        "task-name",
    ]

    asked = parse(argv)

    assert asked == Command(
        bundle="/b.tar.gz",
        is_fast=True,
        program="pyflyte-execute",
        args=[
            *["--inputs", "i", "--dynamic-addl-distro", "/b.tar.gz", "--dynamic-dest-dir", "."],
            *["--resolver", "r", "--", "task-name"],
        ],
    )
    assert asked.is_flytekit


@pytest.mark.parametrize("options", [["--dest-dir", "/tmp"], ["--dest-dir=/root"], ["--dest-dir", "."], []])
def test_every_destination_is_the_attempts_own_directory(options):
    asked = parse([*FAST, *options, "--", "pyflyte-map-execute", "--resolver", "r"])

    assert asked.args == ["--dynamic-addl-distro", "/b.tar.gz", "--dynamic-dest-dir", ".", "--resolver", "r"]


@pytest.mark.parametrize("given", [["--dynamic-dest-dir", "/root"], ["--dynamic-dest-dir=/root"]])
def test_a_dynamic_destination_is_rewritten_too(given):
    asked = parse(["pyflyte-execute", *given, "--resolver", "r", "--", "--dynamic-dest-dir", "/kept"])

    assert "/root" not in " ".join(asked.args)
    assert asked.args[-3:] == ["--", "--dynamic-dest-dir", "/kept"]


def test_another_program_keeps_its_arguments():
    assert parse(["bash", "-c", "echo --dest-dir /root"]) == Command(
        bundle=None, is_fast=False, program="bash", args=["-c", "echo --dest-dir /root"]
    )


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ([], "no command and no arguments"),
        (FAST, "no command to execute"),
        ([*FAST, "--"], "no command to execute"),
        (["pyflyte-fast-execute", "--additional-distribution"], "needs a value"),
        (["pyflyte-fast-execute", "--colour", "blue"], "no option --colour"),
    ],
)
def test_a_command_line_that_cannot_be_run_says_why(argv, reason):
    with pytest.raises(CommandError, match=reason):
        parse(argv)

"""What a container's command line asks for, read the way flytekit's own entrypoint reads it.

Pure. ``pyflyte-fast-execute … -- <command>`` means: unpack a code bundle, then run the command; the flytekit commands
and connectors are called in the forked process itself, anything else is a program to execute. Every directory that the
image would have had (``--dest-dir``, ``--dynamic-dest-dir``) becomes the attempt's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

FAST_EXECUTE = "pyflyte-fast-execute"
FLYTEKIT_COMMANDS = ("pyflyte-execute", "pyflyte-map-execute")
CONNECTOR = "flyte-connector"  # no program of any image: what the backend asks for where a task has no container
HERE = "."  # the attempt's work directory, which is the current one; the same text for every attempt


class CommandError(ValueError):
    """The command line cannot be run, however often it is tried."""


class Command(NamedTuple):
    """A command line, understood.

    Attributes:
        bundle: absolute path of the code bundle to unpack, or None.
        is_fast: whether ``pyflyte-fast-execute`` wraps the program (it puts the work directory on PYTHONPATH).
        program: name or path of the program.
        args: its arguments, rewritten.
    """

    bundle: str | None
    is_fast: bool
    program: str
    args: list[str]

    @property
    def is_flytekit(self) -> bool:
        """Whether it is something of flytekit's own, which runs without a second interpreter."""
        return self.program in (*FLYTEKIT_COMMANDS, CONNECTOR)


def parse(argv: Sequence[str]) -> Command:
    """Return what ``argv`` asks for.

    Raises:
        CommandError: it is empty, or ``pyflyte-fast-execute`` has nothing to execute or an unknown option.

    Example:
        >>> parse("pyflyte-fast-execute --additional-distribution /b.tar.gz --dest-dir /root -- python x.py".split())
        Command(bundle='/b.tar.gz', is_fast=True, program='python', args=['x.py'])
    """
    if not argv:
        raise CommandError("the container has no command and no arguments")
    program, rest = argv[0], list(argv[1:])
    if program != FAST_EXECUTE:
        return Command(None, False, program, _rewrite(program, rest))
    bundle, inner = _split_fast(rest)
    if not inner:
        raise CommandError(f"{FAST_EXECUTE} is given no command to execute")
    if bundle is not None:
        inner = _insert_dynamic(inner, bundle)
    return Command(bundle, True, inner[0], _rewrite(inner[0], inner[1:]))


def _split_fast(args: list[str]) -> tuple[str | None, list[str]]:
    """Return (bundle, inner command) of ``pyflyte-fast-execute``'s arguments."""
    bundle = None
    index = 0
    while index < len(args) and args[index].startswith("-"):
        name, has_value, value = args[index].partition("=")
        index += 1
        if name == "--":
            break
        if name not in ("--additional-distribution", "--dest-dir"):
            raise CommandError(f"{FAST_EXECUTE} has no option {name}")
        if not has_value:
            if index == len(args):
                raise CommandError(f"{FAST_EXECUTE} needs a value after {name}")
            value = args[index]
            index += 1
        if name == "--additional-distribution":
            bundle = value
    return bundle, args[index:]


def _insert_dynamic(inner: list[str], bundle: str) -> list[str]:
    """Tell a dynamic task where its own tasks find the code, as fast-execute does: before ``--resolver``."""
    result: list[str] = []
    for arg in inner:
        if arg == "--resolver":
            result += ["--dynamic-addl-distro", bundle, "--dynamic-dest-dir", HERE]
        result.append(arg)
    return result


def _rewrite(program: str, args: list[str]) -> list[str]:
    """Replace the value of each ``--dynamic-dest-dir`` among a flytekit command's options (those before ``--``)."""
    if program not in FLYTEKIT_COMMANDS:
        return args
    end = args.index("--") if "--" in args else len(args)
    result = list(args)
    for index in range(end):
        if result[index] in ("--dynamic-dest-dir", "--dest-dir") and index + 1 < end:
            result[index + 1] = HERE
        elif result[index].startswith(("--dynamic-dest-dir=", "--dest-dir=")):
            result[index] = result[index].partition("=")[0] + "=" + HERE
    return result

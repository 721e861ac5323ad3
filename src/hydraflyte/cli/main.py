"""``hydraflyte``: reads the arguments, calls the verb, prints errors as one message and one hint.

Exit status: 0 done, 1 could not be done (the message says why), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import sys
from collections.abc import Sequence

from hydraflyte import __version__
from hydraflyte.cli import (
    backend,
    clean,
    deliver,
    doctor,
    executions,
    init,
    notifications,
    package,
    reproduce,
    run,
    schedules,
    secrets,
    sweeps,
)
from hydraflyte.errors import HydraFlyteError
from hydraflyte.leftovers import remove_flytekits_folders_at_exit

_OUTPUT_ERRORS = (errno.EPIPE, errno.ENOSPC, errno.EIO)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name); returns the exit status."""
    _open_standard_streams()
    options = build_parser().parse_args(arguments)
    remove_flytekits_folders_at_exit()
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except HydraFlyteError as error:
        _print_error(error, as_json=getattr(options, "json", False))
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno not in _OUTPUT_ERRORS:
            raise
        _give_up_output(error)
        return 1
    return status


def _open_standard_streams() -> None:
    """Give the program its three streams: a closed one would be taken by the next file that is opened.

    What the terminal's encoding cannot show is escaped, never an error.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (open as long as the program runs)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _give_up_output(error: OSError) -> None:
    """Nobody can be told on standard output any more; keep Python from trying again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:  # the reader of a pipe (`| head`) has simply seen enough
        print(f"error: The output cannot be written: {error.strerror}.", file=sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs; the reference page is generated from it."""
    parser = argparse.ArgumentParser(
        prog="hydraflyte", description="An embedded Flyte backend, and the executions on it."
    )
    parser.add_argument("--version", action="version", version=f"hydraflyte {__version__}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    backend.add_verbs(verbs)
    doctor.add_verbs(verbs)
    clean.add_verbs(verbs)
    init.add_verbs(verbs)
    run.add_verbs(verbs)
    executions.add_verbs(verbs)
    sweeps.add_verbs(verbs)
    schedules.add_verbs(verbs)
    package.add_verbs(verbs)
    deliver.add_verbs(verbs)
    reproduce.add_verbs(verbs)
    secrets.add_verbs(verbs)
    notifications.add_verbs(verbs)
    return parser


def _print_error(error: HydraFlyteError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": error.message, "hint": error.hint}))
    print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)

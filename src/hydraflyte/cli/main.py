"""``hydraflyte``: reads the arguments, calls the verb, prints errors as one message and one hint.

Exit status: 0 done, 1 could not be done (the message says why), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from hydraflyte import __version__
from hydraflyte.cli import backend, doctor, executions
from hydraflyte.errors import HydraFlyteError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name); returns the exit status."""
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except HydraFlyteError as error:
        _print_error(error, as_json=getattr(options, "json", False))
        return 1
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs; the reference page is generated from it."""
    parser = argparse.ArgumentParser(
        prog="hydraflyte", description="An embedded Flyte backend, and the executions on it."
    )
    parser.add_argument("--version", action="version", version=f"hydraflyte {__version__}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    backend.add_verbs(verbs)
    doctor.add_verbs(verbs)
    executions.add_verbs(verbs)
    return parser


def _print_error(error: HydraFlyteError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": error.message, "hint": error.hint}))
    print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)

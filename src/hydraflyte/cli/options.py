"""Options that several verbs share, and the one way of printing JSON."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from typing import Any

from hydraflyte.errors import BackendUnavailableError
from hydraflyte.home import Home, RunningBackend

Verbs = Any  # argparse's sub-parsers action is private: argparse._SubParsersAction


def add_home(parser: argparse.ArgumentParser) -> None:
    """Add ``--home``."""
    parser.add_argument(
        "--home", metavar="DIR", help="folder of the backend (default: $HYDRAFLYTE_HOME, else the user's data folder)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def home_of(options: argparse.Namespace) -> Home:
    """Return the home that the options and the environment name."""
    return Home.resolve(options.home, os.environ)


def running_backend(options: argparse.Namespace) -> RunningBackend:
    """Return the backend that serves the home.

    Raises:
        BackendUnavailableError: none does.
    """
    home = home_of(options)
    running = home.running()
    if running is None:
        raise BackendUnavailableError(
            f"No backend serves the home {home.root}.", hint="start one with `hydraflyte up`."
        )
    return running


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    print(json.dumps(value, indent=2, default=str))


def print_table(columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
    """Print the rows under their headings, in columns as wide as they need."""
    lines = [columns, *(tuple("-" if row[column] is None else str(row[column]) for column in columns) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())

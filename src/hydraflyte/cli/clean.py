"""``clean``: frees the space of executions that ended long ago, through the backend if one serves."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import urllib.error
import urllib.request
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from hydraflyte.cli.options import Verbs, add_home, add_json, home_of, print_json
from hydraflyte.errors import BackendUnavailableError, ConfigError
from hydraflyte.home import Home, RunningBackend

_AGE = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PATIENCE_S = 3600.0
_LINES = (
    ("executions", "execution(s) with their nodes, attempts and events"),
    ("cached_results", "cached result(s)"),
    ("attempt_folders", "folder(s) of attempts: work directories and logs"),
    ("literal_folders", "folder(s) of inputs and outputs"),
    ("raw_data_folders", "folder(s) of raw data"),
    ("uploads", "upload(s) that no registration or execution names"),
    ("temporary_files", "temporary file(s) of processes that were killed"),
)


def add_verbs(verbs: Verbs) -> None:
    """Add the verb of this module."""
    clean = verbs.add_parser("clean", help="free the space of executions that ended long ago")
    clean.add_argument("--older-than", required=True, metavar="AGE", help="such as 14d; also s, m, h and w")
    clean.add_argument("--cache", action="store_true", help="forget results that were cached before then, too")
    clean.add_argument("--dry-run", action="store_true", help="only say what would be freed")
    add_home(clean)
    add_json(clean)
    clean.set_defaults(run=run_clean)


def run_clean(options: argparse.Namespace) -> int:
    """Print what was freed."""
    age, home = read_age(options.older_than), home_of(options)
    running = home.running()
    report = _ask(home, running, age, options) if running is not None else _clean_here(home, age, options)
    if options.json:
        print_json({"dry_run": options.dry_run, **report})
        return 0
    print("would free:" if options.dry_run else "freed:")
    for name, text in _LINES:
        if report[name]:
            print(f"{report[name]:>10} {text}")
    print(f"{report['freed_bytes'] / 1048576:>10.1f} MiB in all")
    return 0


def read_age(text: str) -> timedelta:
    """Return the time that ``14d`` stands for.

    >>> read_age("36h").days
    1

    Raises:
        ConfigError: it is no such text.
    """
    match = _AGE.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"--older-than {text} is no age.", hint="give a whole number and a unit: s, m, h, d or w, such as 14d."
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _ask(home: Home, running: RunningBackend, age: timedelta, options: argparse.Namespace) -> dict[str, Any]:
    """Have the backend do it: it alone writes into its database."""
    query = {
        "older_than_s": age.total_seconds(),
        "dry_run": str(options.dry_run).lower(),
        "cache": str(options.cache).lower(),
    }
    headers = {"Authorization": f"Bearer {home.token()}"}
    request = urllib.request.Request(f"{running.http_url}/clean?{urlencode(query)}", method="POST", headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: a proxy cannot reach it
    try:
        with opener.open(request, timeout=_PATIENCE_S) as answer:
            report: dict[str, Any] = json.load(answer)
            return report
    except (OSError, ValueError) as error:
        raise BackendUnavailableError(
            f"The backend (pid {running.pid}) did not clean up: {error}.",
            hint=f"its log is {home.log_file}; what was freed so far is gone, another clean goes on from there.",
        ) from error


def _clean_here(home: Home, age: timedelta, options: argparse.Namespace) -> dict[str, Any]:
    """Do it in this process, holding the home, so that no backend can start meanwhile."""
    from hydraflyte.backend.cleaning import Cleaner, CleanOrder
    from hydraflyte.backend.store.database import Database
    from hydraflyte.clock import SystemClock

    if not home.database.exists():
        raise ConfigError(f"{home.root} is no home of a backend.", hint="name one with --home or HYDRAFLYTE_HOME.")
    now = SystemClock().now()
    order = CleanOrder(before=now - age, now=now, with_cache=options.cache, is_dry_run=options.dry_run)
    descriptor = home.lock()
    try:
        database = Database.open(home.database)
        try:
            return asdict(asyncio.run(Cleaner(home=home.root, database=database).clean(order)))
        finally:
            database.close()
    finally:
        os.close(descriptor)

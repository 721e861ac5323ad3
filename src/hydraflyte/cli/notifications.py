"""``notifications list | retry``: what the backend has told people, and what it could not deliver."""

from __future__ import annotations

import argparse
import json
import urllib.error
import urllib.request
from typing import Any

from hydraflyte.cli.options import Verbs, add_home, add_json, home_of, print_json, print_table, running_backend
from hydraflyte.errors import BackendUnavailableError, NotificationError

_TIMEOUT_S = 30.0


def add_verbs(verbs: Verbs) -> None:
    """Add the noun ``notifications`` and its verbs."""
    noun = verbs.add_parser("notifications", help="messages about ended executions")
    actions = noun.add_subparsers(title="actions", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="the newest, and whether they were delivered")
    listing.add_argument("--limit", type=int, default=20, help="most to show (default: %(default)s)")
    listing.set_defaults(run=run_list)

    retry = actions.add_parser("retry", help="try to deliver one again that was given up, or that waits")
    retry.add_argument("number", type=int, metavar="NUMBER", help="its number in the list")
    retry.set_defaults(run=run_retry)

    for action in (listing, retry):
        add_home(action)
        add_json(action)


def run_list(options: argparse.Namespace) -> int:
    """Print the newest notifications, newest first."""
    notifications = _ask(options, f"/notifications?limit={options.limit}", method="GET")
    if options.json:
        print_json(notifications)
        return 0
    print_table(("number", "status", "tries", "kind", "target", "subject"), notifications)
    for each in notifications:
        if each["trouble"]:
            print(f"{each['number']}: {each['trouble']}")
    return 0


def run_retry(options: argparse.Namespace) -> int:
    """Have one notification tried again now."""
    answer = _ask(options, f"/notifications/{options.number}/retry", method="POST")
    if options.json:
        print_json(answer)
    else:
        print(f"notification {options.number} is tried again")
    return 0


def _ask(options: argparse.Namespace, path: str, *, method: str) -> Any:  # JSON
    running = running_backend(options)
    headers = {"Authorization": f"Bearer {home_of(options).token()}"}
    request = urllib.request.Request(running.http_url + path, method=method, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: a proxy cannot reach it
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            reason = json.load(error)["error"] if error.headers.get_content_type() == "application/json" else error
        raise NotificationError(
            f"The backend refused: {reason}.", hint="`hydraflyte notifications list` shows what there is."
        ) from error
    except OSError as error:
        raise BackendUnavailableError(
            f"The backend (pid {running.pid}) does not answer: {error}", hint="see `hydraflyte status`."
        ) from error

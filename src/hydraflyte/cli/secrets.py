"""``secrets set | list | delete``: what tasks may ask for by group and key; needs no running backend."""

from __future__ import annotations

import argparse
import getpass
import sys

from hydraflyte.cli.options import Verbs, add_home, add_json, home_of, print_json
from hydraflyte.errors import ConfigError
from hydraflyte.home import Home
from hydraflyte.secret_files import SecretFiles, SecretName, check_name


def add_verbs(verbs: Verbs) -> None:
    """Add the noun ``secrets`` and its verbs."""
    noun = verbs.add_parser("secrets", help="secrets that tasks may ask for")
    actions = noun.add_subparsers(title="actions", required=True, metavar="ACTION")
    for name, run, text in (
        ("set", run_set, "keep a secret; its value is read from standard input, or asked for"),
        ("list", run_list, "the names of all secrets, never their values"),
        ("delete", run_delete, "remove a secret"),
    ):
        action = actions.add_parser(name, help=text)
        if name != "list":
            action.add_argument("group", metavar="GROUP", help="group of the secret")
            action.add_argument("key", metavar="KEY", help="key within the group")
            action.add_argument("--version", default="", metavar="VERSION", help="version of the group")
        add_home(action)
        add_json(action)
        action.set_defaults(run=run)


def run_set(options: argparse.Namespace) -> int:
    """Keep a secret. The value is no argument: those can be seen by every user of the machine."""
    home, name = home_of(options), _name(options)
    value = getpass.getpass(f"Value of {name}: ").encode() if sys.stdin.isatty() else _read_value()
    home.prepare()
    SecretFiles(home.secrets).set(name, value)
    return _report(options, home, "set", name)


def run_list(options: argparse.Namespace) -> int:
    """Print the names."""
    names = SecretFiles(home_of(options).secrets).names()
    if options.json:
        print_json([{"group": name.group, "key": name.key, "version": name.version} for name in names])
        return 0
    for name in names:
        print(f"{name.group} {name.key}" + (f" --version {name.version}" if name.version else ""))
    return 0


def run_delete(options: argparse.Namespace) -> int:
    """Remove a secret."""
    home, name = home_of(options), _name(options)
    if not SecretFiles(home.secrets).delete(name):
        raise ConfigError(f"There is no secret {name}.", hint="`hydraflyte secrets list` shows what there is.")
    return _report(options, home, "deleted", name)


def _name(options: argparse.Namespace) -> SecretName:
    name = SecretName(group=options.group, key=options.key, version=options.version)
    check_name(name)
    return name


def _read_value() -> bytes:
    """Return standard input, without the end of line that ``echo`` adds to a value of one line."""
    value = sys.stdin.buffer.read()
    return value.removesuffix(b"\n").removesuffix(b"\r") if value.count(b"\n") == 1 else value


def _report(options: argparse.Namespace, home: Home, done: str, name: SecretName) -> int:
    if options.json:
        print_json({"group": name.group, "key": name.key, "version": name.version, done: True})
    else:
        print(f"{name} is {done} in {home.root}")
    return 0

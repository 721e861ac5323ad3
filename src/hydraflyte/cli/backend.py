"""``up``, ``down``, ``status``, ``config``: the embedded backend as a process."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from hydraflyte import __version__
from hydraflyte.catch_up import CatchUp
from hydraflyte.cli.options import Verbs, add_home, add_json, home_of, print_json, running_backend
from hydraflyte.embedded import BackendOptions, ensure_backend, stop_backend
from hydraflyte.errors import BackendStartError, HydraFlyteError
from hydraflyte.home import DEFAULT_PORT, Home, RunningBackend
from hydraflyte.task_runtime import TaskRuntime

_DEFAULTS = BackendOptions()


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
    up = verbs.add_parser("up", help="start the embedded backend; returns when it serves")
    up.add_argument(
        "--port", type=int, metavar="PORT", help=f"port of the gRPC API (default: {DEFAULT_PORT}, or a free one)"
    )
    up.add_argument("--host", help=f"loopback address to listen on (default: {_DEFAULTS.host})")
    up.add_argument("--python", metavar="EXE", help="interpreter for tasks that name none (default: this one)")
    up.add_argument("--cpus", metavar="N", help="processors that tasks may ask for (default: those of the machine)")
    up.add_argument("--memory", metavar="SIZE", help="memory that tasks may ask for, such as 8Gi (default: all of it)")
    up.add_argument(
        "--gpus", metavar="DEVICES", help="GPUs to hand out: a number, or ids such as 0,3 (default: those found)"
    )
    up.add_argument(
        "--runtime",
        choices=[each.value for each in TaskRuntime],
        metavar="CHOICE",
        help="what tasks run as: `process` on this machine's interpreters, or containers of their images with `docker`"
        f" or `podman` (default: {_DEFAULTS.runtime.value})",
    )
    up.add_argument("--no-auth", action="store_true", help="let every local process in, without a token")
    up.add_argument(
        "--catch-up",
        choices=[each.value for each in CatchUp],
        metavar="CHOICE",
        help="missed fire times of schedules: `none` leaves them out, `last` makes up for the last one, `all` for each"
        f" (default: {_DEFAULTS.catch_up.value})",
    )
    up.add_argument("--foreground", action="store_true", help="serve in this process until interrupted")
    up.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    add_home(up)
    add_json(up)
    up.set_defaults(run=run_up)

    for name, run, text in (
        ("down", run_down, "stop the embedded backend"),
        ("status", run_status, "say whether the backend serves, and where"),
        ("config", run_config, "print the path of a Flyte client config file that talks to the backend"),
    ):
        verb = verbs.add_parser(name, help=text)
        add_home(verb)
        add_json(verb)
        verb.set_defaults(run=run)


def run_up(options: argparse.Namespace) -> int:
    """Start the backend, or find the one that serves the home as asked; or serve in the foreground."""
    home = home_of(options)
    given = _given(options)
    if options.foreground:
        return _serve(home, BackendOptions(**given), options.ready_fd)
    backend = ensure_backend(home.root, options=BackendOptions(**given))
    if not backend.started:
        _check_agreement(backend.running, given)
        print(_already_served(backend.running), file=sys.stderr)
    _print_backend(backend.running, as_json=options.json)
    return 0


def run_down(options: argparse.Namespace) -> int:
    """Stop the backend; it is no error if none runs."""
    home = home_of(options)
    stopped = stop_backend(home)
    if options.json:
        print_json({"stopped": stopped, "home": str(home.root)})
    else:
        print("stopped" if stopped else f"no backend serves the home {home.root}")
    return 0


def run_status(options: argparse.Namespace) -> int:
    """Print where the backend serves; exit status 1 if it does not."""
    home = home_of(options)
    running = home.running()
    if running is not None:
        _print_backend(running, as_json=options.json)
        return 0
    if options.json:
        print_json({"ready": False, "home": str(home.root)})
    else:
        print(f"no backend serves the home {home.root}; start one with `hydraflyte up`")
    return 1


def run_config(options: argparse.Namespace) -> int:
    """Print the path of the client config file."""
    running = running_backend(options)
    if options.json:
        print_json({"config": running.config})
    else:
        print(running.config)
    return 0


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the command line states, by the names of ``BackendOptions``."""
    given = {name: getattr(options, name) for name in ("port", "host", "cpus", "memory", "gpus")}
    given["python"] = None if options.python is None else _checked_python(options.python)
    given["auth"] = False if options.no_auth else None
    given["catch_up"] = options.catch_up and CatchUp(options.catch_up)
    given["runtime"] = options.runtime and TaskRuntime(options.runtime)
    return {name: value for name, value in given.items() if value is not None}


def _checked_python(python: str) -> str:
    path = str(Path(python).expanduser().absolute())
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        raise BackendStartError(
            f"--python {path} is not an executable file.", hint="name a Python interpreter that has flytekit."
        )
    return path


def _check_agreement(running: RunningBackend, given: Mapping[str, Any]) -> None:
    """Refuse options that the running backend was not started with; what was not stated agrees with anything."""
    has = {**asdict(running), "port": int(running.endpoint.rpartition(":")[2]), "runtime": running.runtime.split()[0]}
    asked = {name: value.value if isinstance(value, Enum) else value for name, value in given.items()}
    differing = [name for name, value in asked.items() if value != has[name] and (name, value) != ("port", 0)]
    if differing:
        stated = ", ".join(_difference(name, asked[name], has[name]) for name in differing)
        raise BackendStartError(
            f"Another backend (pid {running.pid}) already serves the home {running.home}, and not as asked: {stated}.",
            hint="use it as it is (without these options), stop it (`hydraflyte down`), or choose another folder with"
            " --home.",
        )


def _difference(name: str, asked: object, has: object) -> str:
    if name == "auth":
        return "--no-auth (it asks for a token)"
    has_text = "was started without" if has is None else f"has {has}"
    return f"--{name.replace('_', '-')} {asked} (it {has_text})"


def _already_served(running: RunningBackend) -> str:
    note = f"this home is served already, by pid {running.pid}"
    if running.version != __version__:
        note += f" of hydraflyte {running.version}; `hydraflyte down`, then `up`, serves it with {__version__}"
    return note


def _serve(home: Home, settings: BackendOptions, ready_fd: int | None) -> int:
    """Serve in this process; whoever waits at ``ready_fd`` learns the outcome as one JSON message."""
    from hydraflyte.backend.server import serve  # late: imports grpc

    def announce(running: RunningBackend) -> None:
        if ready_fd is None:
            _print_backend(running, as_json=False)
        else:
            _tell(ready_fd, asdict(running))

    try:
        serve(home, settings, announce)
    except HydraFlyteError as error:
        if ready_fd is None:
            raise
        _tell(ready_fd, {"error": error.message, "hint": error.hint})
        return 1
    return 0


def _tell(descriptor: int, message: object) -> None:
    with os.fdopen(descriptor, "w", encoding="utf-8") as pipe:
        json.dump(message, pipe)


def _print_backend(running: RunningBackend, *, as_json: bool) -> None:
    if as_json:
        print_json({"ready": True, **asdict(running)})
        return
    print(f"endpoint  {running.endpoint}")
    print(f"console   {running.console_url}")
    print(f"config    {running.config}")
    print(f"home      {running.home}")
    print(f"tasks     {running.runtime}")
    print(f"pid       {running.pid}")

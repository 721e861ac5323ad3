"""``reproduce``: an execution once more, with the same code, config and inputs; says what cannot be the same."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydraflyte.cli.clients import add_endpoint, client_of
from hydraflyte.cli.options import Verbs, add_home, add_json, print_json, running_backend

if TYPE_CHECKING:  # imported late where used: grpc and flytekit cost 1 s that `--help` need not pay
    from hydraflyte.client import Client
    from hydraflyte.launcher.remote import GrpcFlyteClient
    from hydraflyte.launcher.reproduction.comparison import OutputComparison
    from hydraflyte.launcher.reproduction.differences import Difference
    from hydraflyte.launcher.reproduction.recorded import Recorded


def add_verbs(verbs: Verbs) -> None:
    """Add the verb of this module."""
    reproduce = verbs.add_parser(
        "reproduce",
        help="an execution once more, with the same code, config and inputs",
        description="Run an execution again as it was, or write all of it into a folder; says what cannot be the same.",
    )
    reproduce.add_argument("name", metavar="EXECUTION", help="name of an execution that has ended")
    reproduce.add_argument("--into", metavar="DIR", help="write code, config, inputs and a program, and run nothing")
    reproduce.add_argument(
        "--wait", action="store_true", help="return when it has ended; status 1 unless phase and outputs are the same"
    )
    reproduce.add_argument("--overwrite-cache", action="store_true", help="run cached tasks too, and store them anew")
    reproduce.add_argument("--dry-run", action="store_true", help="only say what cannot be the same")
    add_endpoint(reproduce)
    add_home(reproduce)
    add_json(reproduce)
    reproduce.set_defaults(run=run_reproduce)


def run_reproduce(options: argparse.Namespace) -> int:
    """Say what cannot be the same, then run it again or write it down."""
    from hydraflyte.launcher.reproduction.again import identifier_of_execution
    from hydraflyte.launcher.reproduction.recorded import read_recorded

    with client_of(options) as client:
        identifier = identifier_of_execution(options.project, options.domain, options.name)
        recorded = read_recorded(client, identifier)
        facts: dict[str, Any] = {"reproduces": options.name, **_facts(recorded)}
        if options.into is not None:
            return _write(options, recorded, facts)
        return _run_again(options, client, recorded, facts)


def _write(options: argparse.Namespace, recorded: Recorded, facts: dict[str, Any]) -> int:
    import sys

    from hydraflyte.launcher.reproduction.again import look_around
    from hydraflyte.launcher.reproduction.differences import differences_of
    from hydraflyte.launcher.reproduction.folder import write_folder

    into = Path(options.into).absolute()
    differences = differences_of(recorded, look_around(recorded, python=sys.executable, uses_cache=False))
    if not options.dry_run:
        write_folder(recorded, into, differences)
    command = f"{sys.executable} {into / 'run.py'}"
    if options.json:
        print_json({**facts, "differences": _as_json(differences), "folder": str(into), "command": command})
        return 0
    _print_facts(facts, differences)
    if not options.dry_run:
        print(f"written to {into}; run it with: {command}")
    return 0


def _run_again(options: argparse.Namespace, client: GrpcFlyteClient, recorded: Recorded, facts: dict[str, Any]) -> int:
    from hydraflyte.client import Client
    from hydraflyte.launcher.handles import execution_link
    from hydraflyte.launcher.reproduction.again import (
        interpreter_of,
        look_around,
        refuse_what_is_gone,
        request_again,
    )
    from hydraflyte.launcher.reproduction.differences import differences_of

    backend_python = running_backend(options).python if client.endpoint.is_embedded else None
    python = interpreter_of(recorded, backend_python)
    present = look_around(recorded, python=python, uses_cache=not options.overwrite_cache)
    differences = differences_of(recorded, present)
    facts["differences"] = _as_json(differences)
    if not options.json:
        _print_facts(facts, differences)
    refuse_what_is_gone(recorded, present)
    if options.dry_run:
        if options.json:
            print_json({"dry_run": True, **facts})
        return 0
    started = client.create_execution(request_again(recorded, overwrite_cache=options.overwrite_cache))
    facts |= {"name": started.name, "console_url": execution_link(client.endpoint.console_url, started)}
    if not options.json:
        print(f"{started.name}  {facts['console_url']}", flush=True)
    status = 0
    if options.wait:
        again = Client(client, project=options.project, domain=options.domain)
        status = _compare(options, client, recorded, again, facts)
    if options.json:
        print_json(facts)
    return status


def _compare(
    options: argparse.Namespace, client: GrpcFlyteClient, recorded: Recorded, again: Client, facts: dict[str, Any]
) -> int:
    """Wait for the end, add it to the facts, and return the exit status."""
    from flyteidl.core.execution_pb2 import WorkflowExecution

    from hydraflyte.errors import ExecutionFailedError
    from hydraflyte.launcher.reproduction.again import identifier_of_execution
    from hydraflyte.launcher.reproduction.comparison import Verdict, compare

    before = WorkflowExecution.Phase.Name(recorded.execution.closure.phase)
    try:
        again.wait(facts["name"])
        facts |= {"phase": "SUCCEEDED", "error": ""}
    except ExecutionFailedError as error:
        facts |= {"phase": error.phase, "error": error.message}
    compared: tuple[OutputComparison, ...] = ()
    if facts["phase"] == before == "SUCCEEDED":
        assert recorded.outputs is not None, "it has succeeded"
        started = identifier_of_execution(options.project, options.domain, facts["name"])
        compared = compare(recorded.outputs, client.get_outputs(started))
    facts["outputs"] = [{"name": each.name, "verdict": each.verdict.name, "text": each.text} for each in compared]
    if not options.json:
        _print_end(before, facts, compared)
    is_same = facts["phase"] == before and all(each.verdict is not Verdict.DIFFERENT for each in compared)
    return 0 if is_same else 1


def _print_end(before: str, facts: dict[str, Any], compared: tuple[OutputComparison, ...]) -> None:
    print(f"ended {facts['phase']}{', as before' if facts['phase'] == before else f', and {before} before'}")
    for each in compared:
        print(f"{each.name}: {each.verdict.value} ({each.text})")
    if facts["error"]:
        print(f"\n{facts['error']}")


def _facts(recorded: Recorded) -> dict[str, Any]:
    from hydraflyte.transport.readable import readable_map

    return {
        "entity": recorded.entity_name,
        "version": recorded.launch_plan.id.version,
        "code": list(recorded.code_uris),
        "overrides": list(recorded.overrides),
        "inputs": readable_map(recorded.inputs),
    }


def _as_json(differences: tuple[Difference, ...]) -> list[dict[str, Any]]:
    return [asdict(each) for each in differences]


def _print_facts(facts: dict[str, Any], differences: tuple[Difference, ...]) -> None:
    print(f"{facts['reproduces']}: {facts['entity']} (version {facts['version']})")
    print(f"code      {', '.join(facts['code']) or 'that of the images'}")
    for name, value in facts["inputs"].items():
        print(f"input     {name} = {value}")
    print("as it was: code, config, inputs, environment variables")
    for heading, is_certain in (("not as it was:", True), ("may differ:", False)):
        lines = [each for each in differences if each.is_certain is is_certain]
        if lines:
            print(heading)
        for each in lines:
            print(f"  - {each.kind}: {each.text}")

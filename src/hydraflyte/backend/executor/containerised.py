"""Runs attempts in containers of their tasks' images, through a keeper that ends them when this backend ends.

Rule: an image is used as a cluster would use it, except for what only a cluster has; what differs is written in
docs/howto/run-tasks-in-containers.md. Knows no container program's words: they are in ``container_arguments``.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from flyteidl.core.errors_pb2 import ContainerError as FlyteError
from flyteidl.core.errors_pb2 import ErrorDocument
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.literals_pb2 import LiteralMap

from hydraflyte.backend.engine.commands import AttemptSpec
from hydraflyte.backend.executor import results
from hydraflyte.backend.executor.container_arguments import (
    HOME_LABEL,
    ContainerError,
    Exchanged,
    Surroundings,
    container_name,
    create_arguments,
    image_of,
    outside_folders,
    registry_options,
    split_variables,
    variables_of,
)
from hydraflyte.backend.executor.exchange import ExchangeError, collect, exchange_of, fill
from hydraflyte.backend.executor.interpreters import AttemptListener, Patience, WarmInterpreter
from hydraflyte.backend.executor.keeper import BEGUN_FILE
from hydraflyte.backend.executor.machine import Machine
from hydraflyte.backend.executor.queued import QueuedExecutor
from hydraflyte.backend.executor.runtimes import ContainerRuntime
from hydraflyte.backend.executor.workplaces import Assignment, Runner, Workplace
from hydraflyte.backend.executor.zygotes import Site
from hydraflyte.home import Home, write_private
from hydraflyte.task_runtime import TaskRuntime

_log = logging.getLogger(__name__)
_PATIENCE_S = 20.0
_INPUTS, _OUTPUTS = "tmp/inputs", "tmp/outputs"  # below the attempt's directory; gone with its scratch
_KEEPER = "hydraflyte.backend.executor.keeper"


class Containers(Workplace):
    """A Workplace of containers.

    Args:
        runtime: makes the containers.
        home: of the backend.
        environ: the backend's own environment, for the runtime's program; tasks see nothing of it.
        env: what tasks see besides their own variables.
        patience: how long to wait for what.
    """

    def __init__(
        self,
        *,
        runtime: ContainerRuntime,
        home: Home,
        environ: Mapping[str, str],
        env: Mapping[str, str],
        patience: Patience,
    ) -> None:
        self._runtime = runtime
        self._home = home
        self._env = dict(env)
        self._client_env = frozenset(environ)
        self._patience = patience
        label = f"{HOME_LABEL}={home.root}"
        program = ("-m", _KEEPER, runtime.kind.value, runtime.program, label)
        self._site = Site(folder=home.root / "keepers", environ=environ, program=program)
        self._keeper: WarmInterpreter | None = None

    async def open(self, listener: AttemptListener) -> None:
        """Start the keeper; does not wait for it. What a backend that was killed left was ended before."""
        shutil.rmtree(self._site.folder, ignore_errors=True)
        self._site.folder.mkdir(mode=0o700, parents=True)
        write_private(self._home.container_runtime, f"{self._runtime.kind.value} {self._runtime.program}")
        self._home.blobs.mkdir(mode=0o700, exist_ok=True)
        self._keeper = WarmInterpreter(
            python=sys.executable, site=self._site, patience=self._patience, listener=listener, cleans_up=True
        )
        self._keeper.warm_up()

    def refuse(self, spec: AttemptSpec) -> str | None:
        """See ``Workplace.refuse``: what an image can run, a container can."""
        if spec.task.WhichOneof("target") in ("container", "k8s_pod"):
            return None
        return (
            f"The task {spec.task.id.name} of type {spec.task.type} has no image: a connector runs it, and connectors"
            f" are called in processes of this machine only. Start the backend without `--runtime"
            f" {self._runtime.kind.value}`, or run it on a cluster."
        )

    def has_begun(self, directory: Path) -> bool:
        """See ``Workplace.has_begun``: the keeper leaves a mark before it starts a container."""
        return (directory / BEGUN_FILE).exists()

    def submit(self, assignment: Assignment) -> Runner:
        """Hand it to the keeper.

        Raises:
            ContainerError: no container can be made for it.
            OSError: a folder that it writes to cannot be made.
        """
        assert self._keeper is not None, "nothing is submitted before open"
        spec = assignment.spec
        surroundings = self._surroundings()
        for folder in outside_folders(spec, surroundings.blobs):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        all_variables = variables_of(assignment, surroundings, self._runtime)
        variables = split_variables(all_variables, surroundings.client_env)
        exchanged = _lay_out(spec, assignment.directory)
        image = image_of(spec.task)
        order = {
            "type": "start",
            "id": assignment.key,
            "node": spec.attempt.node,
            "directory": str(assignment.directory),
            "name": container_name(self._home.root, assignment.key),
            "image": image,
            "pull": registry_options(self._runtime, image),
            "create": create_arguments(self._runtime, surroundings, assignment, tuple(variables.passed), exchanged),
            "env_lines": variables.lines,
            "client_env": dict(variables.passed),
            "memory_limit": assignment.needs.memory_limit_bytes if self._runtime.limits_memory else None,
        }
        self._keeper.submit(assignment.key, order)
        return self._keeper

    def settle(self, spec: AttemptSpec, directory: Path) -> None:
        """Read the outputs that a raw container left in its folder, as Flyte's copilot does when it has ended well."""
        record = results.read_record(directory)
        prefix = Path(spec.output_prefix)
        has_ended_well = record is not None and record.exit_code == 0 and not record.aborted
        if exchange_of(spec.task) is None or not spec.task.interface.outputs.variables or not has_ended_well:
            return
        if (prefix / "outputs.pb").exists() or (prefix / "error.pb").exists():
            return
        prefix.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            outputs = collect(spec.task.interface.outputs, directory / _OUTPUTS, spec.raw_output_prefix)
            (prefix / "outputs.pb").write_bytes(outputs.SerializeToString(deterministic=True))
        except ExchangeError as error:
            text = f"[flyte-copilot] terminated with exit code (1). Reason [Error]. Message: \n{error}"
            document = ErrorDocument(
                error=FlyteError(code="Error", message=text, kind=FlyteError.RECOVERABLE, origin=ExecutionError.USER)
            )
            (prefix / "error.pb").write_bytes(document.SerializeToString(deterministic=True))

    async def close(self) -> None:
        """See ``Workplace.close``."""
        if self._keeper is not None:
            await self._keeper.close()
        shutil.rmtree(self._site.folder, ignore_errors=True)
        self._home.container_runtime.unlink(missing_ok=True)

    def keeper_pid(self) -> int | None:
        """Return the process id of the keeper, or None while there is none."""
        return None if self._keeper is None else self._keeper.zygote_pid

    def _surroundings(self) -> Surroundings:
        shown = (self._home.client_config, self._home.token_file)
        return Surroundings(
            home=self._home.root,
            blobs=self._home.blobs,
            shown=tuple(path for path in shown if path.exists()),
            env=self._env,
            client_env=self._client_env,
            user=(os.getuid(), os.getgid()),
            processors=os.cpu_count() or 1,
        )


def _lay_out(spec: AttemptSpec, directory: Path) -> tuple[Exchanged, ...]:
    """Make the folders through which a raw container exchanges files with Flyte; return what it finds where.

    Raises:
        ContainerError: an input cannot be shown to it.
        OSError: the disk is full.
    """
    config = exchange_of(spec.task)
    found: list[Exchanged] = []
    if config is None:
        return ()
    if config.input_path and spec.task.interface.inputs.variables:
        (directory / _INPUTS).mkdir(mode=0o700)
        try:
            inputs = LiteralMap.FromString(Path(spec.inputs_uri).read_bytes())
            data = fill(inputs, config, directory / _INPUTS)
        except ExchangeError as error:
            hint = 'Hand it over as an argument: "{{.inputs.NAME}}".'
            raise ContainerError(f"an input cannot be handed over: {error}", hint=hint) from error
        found.append(Exchanged(source=str(directory / _INPUTS), target=config.input_path))
        found += [Exchanged(source=source, target=target, is_readonly=True) for source, target in data]
    if config.output_path and spec.task.interface.outputs.variables:
        (directory / _OUTPUTS).mkdir(mode=0o700)
        found.append(Exchanged(source=str(directory / _OUTPUTS), target=config.output_path))
    return tuple(found)


def end_leftovers(home: Home, environ: Mapping[str, str]) -> None:
    """Remove the containers of a backend that was killed together with its keeper, whatever runs tasks now."""
    try:
        kind, _, program = home.container_runtime.read_text(encoding="utf-8").partition(" ")
    except OSError:
        return
    listing = [program, "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={HOME_LABEL}={home.root}"]
    try:
        names = _output_of(listing, environ).split()
        if names:
            at_once = ["--time", "0"] if kind == TaskRuntime.PODMAN.value else []
            _output_of([program, "rm", "--force", "--volumes", *at_once, *names], environ)
            _log.info("removed %d containers of a backend that was killed", len(names))
        home.container_runtime.unlink()
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("containers of a backend that was killed may be left: %s", error)


def _output_of(command: Sequence[str], environ: Mapping[str, str]) -> str:
    ended = subprocess.run(
        command, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S, check=True
    )
    return ended.stdout.decode(errors="replace")


class ContainerExecutor(QueuedExecutor):
    """A TaskExecutor on containers.

    Args:
        home: the backend's home; attempts are kept in ``home/attempts``. Must not be used by another executor.
        runtime: makes the containers.
        machine: what the attempts share; one that asks for nothing counts as one processor.
        environ: the backend's own environment, for the runtime's program.
        platform: variables that tell every attempt where this backend is; its own ones win over them.
        patience: how long to wait for what.
    """

    def __init__(
        self,
        *,
        home: Path,
        runtime: ContainerRuntime,
        machine: Machine,
        environ: Mapping[str, str],
        platform: Mapping[str, str] = MappingProxyType({}),
        patience: Patience = Patience(),  # noqa: B008 (an immutable value)
    ) -> None:
        self._containers = Containers(
            runtime=runtime, home=Home(root=home), environ=environ, env=platform, patience=patience
        )
        super().__init__(home=home, machine=machine, environ=environ, workplace=self._containers)

    def keeper_pid(self) -> int | None:
        """Return the process id of the keeper, or None while there is none."""
        return self._containers.keeper_pid()

"""The container runtimes of this machine: found on PATH, asked once what they are and what they can limit.

Rule: a runtime that is missing or does not answer is found out when the backend starts, not by the first task.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydraflyte.errors import BackendStartError
from hydraflyte.task_runtime import TaskRuntime

_ANSWER_PATIENCE_S = 20.0
_ROOTLESS_DOCKER = "name=rootless"
_NO_RUNTIME_HINT = "or start the backend without --runtime: tasks are then processes of this machine."


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRuntime:
    """A runtime that answers.

    Attributes:
        kind: whose dialect it speaks, whatever its program is called.
        program: absolute path.
        is_root_ours: whether root inside a container is the backend's own user outside: that user then owns what a
            task writes, and the task may write wherever its image lets root write.
        limits_memory: whether it can limit memory for this user, and so for ``limits_cpu``.
    """

    kind: TaskRuntime
    program: str
    version: str
    is_root_ours: bool
    limits_memory: bool
    limits_cpu: bool

    def __str__(self) -> str:
        return f"{self.kind.value} {self.version} ({self.program})"


def find_runtime(wanted: TaskRuntime, environ: Mapping[str, str]) -> ContainerRuntime:
    """Return the runtime of this name, once it has answered.

    Args:
        wanted: not ``PROCESS``.
        environ: the backend's own: its PATH, and what names a daemon or a configuration.

    Raises:
        BackendStartError: it is not installed, or does not answer.
    """
    program = shutil.which(wanted.value, path=environ.get("PATH"))
    if program is None:
        raise BackendStartError(
            f"--runtime {wanted.value}: there is no {wanted.value} on PATH.", hint=f"install it, {_NO_RUNTIME_HINT}"
        )
    return _read(os.path.abspath(program), _ask(program, environ))


def _ask(program: str, environ: Mapping[str, str]) -> dict[str, Any]:  # as the runtime's JSON has it
    try:
        answer = subprocess.run(
            [program, "info", "--format", "{{json .}}"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _silent(program, f"no answer within {_ANSWER_PATIENCE_S:.0f} s") from None
    except OSError as error:
        raise _silent(program, str(error)) from error
    if answer.returncode != 0:
        raise _silent(program, last_line(answer.stderr) or f"exit status {answer.returncode}")
    try:
        facts = json.loads(answer.stdout)
    except ValueError:
        raise _silent(program, "what it says of itself is no JSON") from None
    return facts if isinstance(facts, dict) else {}


def _silent(program: str, reason: str) -> BackendStartError:
    return BackendStartError(
        f"{program} cannot run containers: {reason}",
        hint=f"try `{program} info`; start its service, or name it (DOCKER_HOST), {_NO_RUNTIME_HINT}",
    )


def _read(program: str, facts: Mapping[str, Any]) -> ContainerRuntime:
    """Return what the answer says; podman is told by its answer, for it may be installed as ``docker``."""
    if "host" in facts:
        host = facts["host"]
        controllers = host.get("cgroupControllers") or []
        return ContainerRuntime(
            kind=TaskRuntime.PODMAN,
            program=program,
            version=facts.get("version", {}).get("Version", "?"),
            is_root_ours=bool(host.get("security", {}).get("rootless")) or os.getuid() == 0,
            limits_memory="memory" in controllers,
            limits_cpu="cpu" in controllers,
        )
    return ContainerRuntime(
        kind=TaskRuntime.DOCKER,
        program=program,
        version=facts.get("ServerVersion") or "?",
        is_root_ours=_ROOTLESS_DOCKER in (facts.get("SecurityOptions") or []) or os.getuid() == 0,
        limits_memory=bool(facts.get("MemoryLimit")),
        limits_cpu=bool(facts.get("CpuCfsQuota")),
    )


def last_line(output: bytes) -> str:
    """Return the last line that says something, or ``""``."""
    lines = output.decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""

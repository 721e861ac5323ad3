"""Proof that the code bundle can be imported: unpacked, in a clean child process, as a task's process would do it.

One rule: no user code runs in this process. The child is `probe.py`, run by path, so that any interpreter with flytekit
will do. A failure names the file that is missing, and the pattern that left it out, where that can be told.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hydraflyte.errors import PackagingError
from hydraflyte.launcher.code.files import FileSet, IgnoredPath

if TYPE_CHECKING:
    from hydraflyte.launcher.package import CodeBundle

_PROBE = Path(__file__).with_name("probe.py")
_TAIL_LINES = 25
_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLoad:
    """How a task's process finds one task.

    Attributes:
        task_name: the name that is registered.
        resolver: dotted name of the flytekit resolver.
        loader_args: what follows the resolver on the command line.
    """

    task_name: str
    resolver: str
    loader_args: tuple[str, ...]


def prove_importable(
    bundle: CodeBundle,
    modules: Sequence[str],
    python: str,
    *,
    loads: Sequence[TaskLoad] = (),
    timeout_s: float = 120.0,
) -> None:
    """Return if every module can be imported from the bundle, and every task be loaded, by a new process of ``python``.

    Args:
        bundle: the archive; it is unpacked to a temporary directory, which is removed again.
        modules: what the tasks' loader will import.
        python: the interpreter that will run the tasks.
        loads: the tasks to load, each by its resolver.
        timeout_s: after this the child and all it started are killed.

    Raises:
        PackagingError: with the end of the child's traceback.
    """
    with tempfile.TemporaryDirectory(prefix="hydraflyte-proof-") as scratch:
        code = Path(scratch, "code")
        unpack(bundle.path, code)
        names = {file.name for file in bundle.files.files}
        request = {
            "code": os.path.realpath(code),
            "modules": list(modules),
            "bundled": [module for module in modules if names & set(_sources(module))],  # others are installed there
            "loads": [asdict(load) for load in loads],
        }
        output = _run_probe(python, request, Path(scratch), timeout_s)
        answer = _answer(Path(scratch, "answer.json"))
    if not answer.get("ok"):
        raise _failure(answer, output, bundle.files, python)


def unpack(archive: Path, into: Path) -> None:
    """Unpack a code bundle into the new directory ``into``."""
    into.mkdir(parents=True)
    with tarfile.open(archive, errors="surrogateescape") as tar:
        tar.extractall(into)  # our own archive: names are relative, and links stay inside


def _run_probe(python: str, request: dict[str, Any], scratch: Path, timeout_s: float) -> str:
    """Run the child to its end; return what it and the user's modules printed.

    Files instead of pipes: a process that the user's modules leave behind could hold a pipe open for ever.
    """
    (scratch / "request.json").write_text(json.dumps(request))
    with open(scratch / "output", "w+b") as output:
        child = _start_probe(python, request["code"], scratch, output)
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise PackagingError(
                f"Importing {', '.join(request['modules'])} from the code bundle did not end within {timeout_s:g} s.",
                hint="Move slow work, downloads and waiting out of the modules' top level into the tasks.",
            ) from error
        finally:
            with contextlib.suppress(ProcessLookupError):  # user code may have left processes behind
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL_BYTES))
        text = output.read().decode(errors="backslashreplace")
    return f"{text}\nexit status {child.returncode}" if child.returncode else text


def _start_probe(python: str, code: str, scratch: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    temporary = scratch / "temporary"  # flytekit and the user's modules may leave something there
    temporary.mkdir()
    try:
        return subprocess.Popen(
            [python, "-B", str(_PROBE), str(scratch / "request.json"), str(scratch / "answer.json")],
            cwd=code,
            env=environment
            | {"PYTHONPATH": code, "TMPDIR": str(temporary)},  # the path as pyflyte-fast-execute sets it
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise PackagingError(
            f"The interpreter {python} cannot be started: {error.strerror}.",
            hint="Name an existing Python interpreter that has flytekit installed.",
        ) from error


def _answer(path: Path) -> dict[str, Any]:
    try:
        answer = json.loads(path.read_text())
    except (OSError, ValueError):
        return {"ok": False}
    return dict(answer)


def _failure(answer: dict[str, Any], output: str, files: FileSet, python: str) -> PackagingError:
    what = answer.get("what", "The process that imports the code bundle died")
    text = answer.get("traceback") or output
    tail = "\n".join(text.rstrip().splitlines()[-_TAIL_LINES:])
    return PackagingError(f"{what}:\n{tail}", hint=_hint(answer, files, python))


def _hint(answer: dict[str, Any], files: FileSet, python: str) -> str:
    missing = answer.get("missing", "")
    path = missing.replace(".", "/")
    for name in (f"{path}.py", f"{path}/__init__.py", path, answer.get("missing_file", "")):
        left_out = _left_out(name, files)
        if left_out is not None:
            return _kept_by(left_out)
    if answer.get("missing_module"):
        return _missing_module_hint(answer["missing_module"], files, python)
    if answer.get("hint"):
        return str(answer["hint"])
    return "The tasks would fail with the same error; it must import in a new process, in another directory."


def _missing_module_hint(module: str, files: FileSet, python: str) -> str:
    top = module.partition(".")[0]
    if (files.root / top).exists() or (files.root / f"{top}.py").exists():
        return f"{top} lies in {files.root}, but has no {module.removeprefix(top + '.')}: check the import."
    return (
        f"{top} is neither in the code bundle nor installed for {python}: install it there, "
        f"or keep it below {files.root}."
    )


def _sources(module: str) -> tuple[str, str]:
    path = module.replace(".", "/")
    return f"{path}.py", f"{path}/__init__.py"


def _left_out(name: str, files: FileSet) -> IgnoredPath | None:
    for ignored in files.ignored:
        if name == ignored.name or name.startswith(f"{ignored.name}/"):
            return ignored if (files.root / name).exists() else None
    return None


def _kept_by(ignored: IgnoredPath) -> str:
    return (
        f"{ignored.name} exists but is left out of the code bundle by '{ignored.rule.pattern}' "
        f"({ignored.rule.origin}): add the line !/{ignored.name} to .flyteignore."
    )

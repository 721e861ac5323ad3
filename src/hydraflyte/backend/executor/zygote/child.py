"""What a forked child does: becomes a process of its own, then the task.

Rule: ``run`` never returns, so no frame of the zygote's loop is ever continued in a child. Whatever stops an attempt
before its program begins is written to ``refused.json``: it is a defect of the task's definition, not of the task.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import traceback
import types
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from . import archive, command, connectors, flytekit_process, preload, system

REFUSED_FILE = "refused.json"
LIBRARIES_FILE = "libraries.json"
REFUSED_EXIT_CODE = 125
_MOST_SKIPPED_SHOWN = 10


class Job(NamedTuple):
    """One attempt as the executor asks for it.

    Attributes:
        id: text of the attempt id, the same in every message about it.
        directory: the attempt's own directory, with ``work`` and ``tmp`` made.
        argv: command line as the container has it.
        env: the environment of the process, as far as other attempts may have the same.
        private_env: what only this attempt has; wins over ``env``.
        memory_limit: most bytes that the attempt's processes may use, or None.
    """

    id: str
    directory: str
    argv: list[str]
    env: dict[str, str]
    private_env: dict[str, str]
    memory_limit: int | None

    @property
    def work(self) -> str:
        """Current directory of the task; the code bundle is unpacked here."""
        return os.path.join(self.directory, "work")


class Refusal(Exception):
    """The attempt cannot be started, however often it is tried."""


class Origin(NamedTuple):
    """The zygote that a child comes from.

    Attributes:
        pid: its process id.
        flytekit_error: why flytekit cannot be imported in this interpreter, or None.
        is_outdated: whether libraries were installed or removed since it imported flytekit.
    """

    pid: int
    flytekit_error: str | None
    is_outdated: bool


def run(job: Job, origin: Origin) -> NoReturn:
    """Turn this freshly forked process into the attempt, and end with its exit status."""
    code = 1
    try:
        _become_process(job, origin.pid)
        code = _run_command(job, origin)
    except Refusal as refusal:
        code = _report_refusal(job, str(refusal))
    except (command.CommandError, archive.ArchiveError, OSError) as error:
        code = _report_refusal(job, f"the attempt could not be set up: {error}")
    except BaseException:  # the border of the task process: a defect of ours is at least seen in the attempt's log
        traceback.print_exc()
    finally:
        os._exit(code)


def _become_process(job: Job, parent: int) -> None:
    """Own session, signals, streams, directory and environment; the zygote's are left behind."""
    os.setsid()
    _reset_signals()
    system.die_with_parent(parent)
    system.adopt_orphans()
    system.offer_to_oom_killer()
    _redirect_streams(job.directory)
    os.chdir(job.work)
    os.environ.clear()
    os.environ.update({**job.env, **job.private_env})
    sys.modules["__main__"] = types.ModuleType("__main__")  # multiprocessing must not run boot.py again


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _redirect_streams(directory: str) -> None:
    """Connect 0 to nothing and 1, 2 to the attempt's log files, and close every other descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    sources = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(os.path.join(directory, "stdout.log"), flags, 0o600),
        os.open(os.path.join(directory, "stderr.log"), flags, 0o600),
    )
    for target, source in enumerate(sources):
        os.dup2(source, target)
    _close_all_but_streams()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a TextIOWrapper: boot.py changed nothing


def _close_all_but_streams() -> None:
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own descriptor is closed already
                os.close(int(name))


def _run_command(job: Job, origin: Origin) -> int:
    asked = command.parse(job.argv)
    if asked.bundle is not None:
        _unpack(asked.bundle, job.work)
    if asked.is_fast:
        _append_to_python_path(job.work)
    if not asked.is_flytekit:
        _execute(asked.program, asked.args)
    if origin.flytekit_error is not None:
        raise Refusal(_explain_missing_flytekit(origin.flytekit_error))
    if origin.is_outdated or flytekit_process.needs_fresh_interpreter(os.environ, job.work) is not None:
        _execute_flytekit(asked.program, asked.args)
    preload.renew_libraries()
    before = list(sys.modules)
    code = run_to_end(lambda: flytekit_process.run_command(asked.program, asked.args))
    if asked.bundle is not None:
        _leave_library_list(job, preload.list_libraries(before))
    return code


def _leave_library_list(job: Job, libraries: list[str]) -> None:
    """Let the zygote know what the next attempt of this code would like to find imported."""
    if libraries:
        with contextlib.suppress(OSError), open(_library_path(job), "w", encoding="utf-8") as file:
            json.dump(libraries, file)


def take_library_list(job: Job) -> list[str]:
    """Return what an ended attempt left for the zygote, and remove it."""
    try:
        with open(_library_path(job), encoding="utf-8") as file:
            libraries = json.load(file)
        os.unlink(_library_path(job))
    except (OSError, ValueError):
        return []
    return [str(name) for name in libraries] if isinstance(libraries, list) else []


def _library_path(job: Job) -> str:
    return os.path.join(job.directory, LIBRARIES_FILE)


def _unpack(bundle: str, work: str) -> None:
    skipped = archive.unpack(bundle, work)
    _show_skipped(skipped)


def _show_skipped(skipped: list[str]) -> None:
    for line in skipped[:_MOST_SKIPPED_SHOWN]:
        sys.stderr.write(f"hydraflyte: not unpacked from the code bundle: {line}\n")
    if len(skipped) > _MOST_SKIPPED_SHOWN:
        sys.stderr.write(f"hydraflyte: and {len(skipped) - _MOST_SKIPPED_SHOWN} more\n")


def _append_to_python_path(directory: str) -> None:
    """Let the code in ``directory`` be imported, by this process and its children, as fast-execute does."""
    entries = [entry for entry in (os.environ.get("PYTHONPATH"), os.path.realpath(directory)) if entry]
    os.environ["PYTHONPATH"] = os.pathsep.join(entries)


def _execute(program: str, args: list[str]) -> NoReturn:
    """Replace this process by another program, looked up on PATH (where the interpreter's folder comes first)."""
    path = shutil.which(program)
    if path is None:
        raise Refusal(
            f"the program {program!r} was not found, neither beside the interpreter {sys.executable} nor on PATH"
            " (an image's own programs do not exist here: tasks run as processes of this machine)"
        )
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(path, [program, *args], os.environ)


def _execute_flytekit(program: str, args: list[str]) -> NoReturn:
    """Run a flytekit command in an interpreter of its own: slower, and right where a fork is not."""
    if program == command.CONNECTOR:
        script = (
            f"import runpy; runpy.run_path({connectors.__file__!r}, run_name='__main__')"  # adds nothing to sys.path
        )
        os.execve(sys.executable, [sys.executable, "-c", script, *args], os.environ)
    script = os.path.join(os.path.dirname(sys.executable), program)
    if os.access(script, os.X_OK):
        os.execve(script, [program, *args], os.environ)
    arguments = ["-m", "flytekit.bin.entrypoint", program, *args]
    os.execve(sys.executable, [sys.executable, *arguments], os.environ)


def _explain_missing_flytekit(error: str) -> str:
    return (
        f"flytekit cannot be imported by {sys.executable}: {error}. Install it there with"
        f" '{sys.executable} -m pip install \"flytekit>=1.16,<1.17\"', or let the task run on another interpreter"
    )


def _report_refusal(job: Job, text: str) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"hydraflyte: {text}\n")
    with contextlib.suppress(OSError), open(os.path.join(job.directory, REFUSED_FILE), "w", encoding="utf-8") as file:
        json.dump({"message": text}, file)
    return REFUSED_EXIT_CODE


def run_to_end(main: Any) -> int:
    """Call ``main`` as an interpreter would run a script, and return the exit status that it would end with."""
    code = _call(main)
    with contextlib.suppress(BaseException):  # like an interpreter that shuts down: nothing stops the exit
        threading._shutdown()  # type: ignore[attr-defined]  # waits for the threads a script's end waits for
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    _flush((sys.stdout, sys.stderr))
    return code


def _call(main: Any) -> int:
    try:
        main()
    except SystemExit as request:
        return _exit_code(request.code)
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        _flush((sys.stdout, sys.stderr))
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # the border of the task process: every end becomes an exit status
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _exit_code(code: object) -> int:
    """Translate ``sys.exit``'s argument the way the interpreter does."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _flush(streams: Iterable[Any]) -> None:
    for stream in streams:
        with contextlib.suppress(Exception):  # closed by the task, or the disk is full
            stream.flush()

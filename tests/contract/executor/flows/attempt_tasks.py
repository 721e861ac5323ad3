"""Tasks that end in every way a process can end; the executor's suites run them for real."""

import ctypes
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import uuid

from flytekit import FlyteContextManager, task

# flytekit opens three descriptors of its own for an event loop; whatever else is open came from somebody else.
_open_before_the_import = sorted(
    target
    for name in os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    if int(name) > 2 and (target := os.path.realpath(f"/dev/fd/{name}")) and "/proc/" not in target
)

_id_of_import = uuid.uuid4().hex
attempt_variable = os.environ.get("FLYTE_ATTEMPT_NUMBER", "")


def _hash_of_seed_7() -> int:
    command = [sys.executable, "-c", "print(hash('hydraflyte'))"]
    return int(subprocess.run(command, env={"PYTHONHASHSEED": "7"}, capture_output=True, check=True).stdout)


@task
def double(x: int) -> int:
    return 2 * x


@task
def fail(x: int) -> int:
    if x:
        raise ValueError(f"cannot double {x}")
    return x


@task
def describe(x: int) -> dict:
    """What a task sees of the world around it."""
    temporary = pathlib.Path(FlyteContextManager.current_context().file_access.local_sandbox_dir)
    return {
        "cwd": os.getcwd(),
        "env": dict(os.environ),
        "argv": sys.argv,
        "files": sorted(os.listdir(".")),
        "module_file": __file__,
        "python": sys.executable,
        "stdin": sys.stdin.read(),
        "inherited": _open_before_the_import,
        "hash_is_seeded": hash("hydraflyte") == _hash_of_seed_7(),
        "main_file": str(getattr(sys.modules["__main__"], "__file__", "")),
        "is_session_leader": os.getsid(0) == os.getpid(),
        "sigterm_is_default": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "threads": threading.active_count(),
        "sandbox_is_in_tmpdir": os.environ["TMPDIR"] in str(temporary),
    }


@task
def tell_origin(x: int) -> dict:
    """Imports a library that flytekit does not; tells whose child this is and what was computed on import."""
    was_imported = "mailbox" in sys.modules
    import mailbox

    return {
        "parent": os.getppid(),
        "was_imported": was_imported,
        "id": _id_of_import,
        "draw": random.random(),
        "own": attempt_variable,
        "library": mailbox.__name__,
    }


@task
def never_end_with_library(x: int) -> int:
    import mailbox

    pathlib.Path("pid").write_text(f"{os.getpid()}")
    pathlib.Path("parent").write_text(f"{os.getppid()}")
    while not x:
        mailbox.time.sleep(3600)
    return x


@task
def leave_at_once(x: int) -> int:
    print("about to leave", flush=True)
    os._exit(x)
    return x


@task
def leave(x: int) -> int:
    sys.exit(x)
    return x


@task
def die_of(x: int) -> int:
    os.kill(os.getpid(), x)
    return x


@task
def read_nowhere(x: int) -> int:
    ctypes.string_at(0)
    return x


@task
def print_megabytes(x: int) -> int:
    line = "x" * 1023
    for _ in range(x * 1024):
        print(line)
    return x


@task
def never_end(x: int) -> int:
    pathlib.Path("pid").write_text(str(os.getpid()))
    while True:
        time.sleep(3600)
    return x


@task
def ignore_term(x: int) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path("pid").write_text(str(os.getpid()))
    while True:
        time.sleep(3600)
    return x


@task
def leave_processes_behind(x: int) -> int:
    """One in the process group, one in a session of its own; returns their pids in a file."""
    command = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(3600)"]
    follower = subprocess.Popen(command)
    fugitive = subprocess.Popen(command, start_new_session=True)
    pathlib.Path("pids").write_text(f"{follower.pid} {fugitive.pid}")
    return x


@task
def never_end_with_child(x: int) -> int:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    pathlib.Path("child").write_text(str(child.pid))
    pathlib.Path("pid").write_text(str(os.getpid()))
    child.wait()
    return x


@task
def write_into_cwd(x: int) -> int:
    pathlib.Path("attempt_tasks.py").write_text("raise SystemExit('overwritten by an attempt')")
    return x


@task
def damage_outputs(x: int) -> int:
    """Leaves an ``outputs.pb`` that no one can parse; flytekit's own is never written."""
    prefix = pathlib.Path(sys.argv[sys.argv.index("--output-prefix") + 1])
    prefix.mkdir(parents=True, exist_ok=True)
    (prefix / "outputs.pb").write_bytes(b"\xff\xff\xff no protobuf")
    os._exit(0)
    return x

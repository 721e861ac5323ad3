"""The backend's home: one private folder, and who lives in it.

Knows every file name of it and nothing of what the files mean. A home belongs to one user (mode 0700) and to
at most one running backend (an advisory lock that dies with its holder).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from hydraflyte.catch_up import CatchUp
from hydraflyte.errors import BackendStartError
from hydraflyte.task_runtime import TaskRuntime

DEFAULT_PORT = 30080
HOME_MARK = "backend.lock"
"""A file that every home has from its first moment."""
_LOCK_PATIENCE_S = 0.2
_SHORTEST_TOKEN = 43  # an empty one, as a crash of the machine may leave it, would let everybody in
_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS, 108 on Linux


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningBackend:
    """What a serving backend says of itself (``backend.json``).

    Attributes:
        endpoint: ``127.0.0.1:port`` of the gRPC API for any Flyte client.
        socket: path of the Unix socket for this user's own tools.
        http_url: base of uploads, logs and console.
        console_url: address of the console for a browser; opens without further ado.
        config: path of the Flyte client config file.
        python: interpreter for tasks that do not name one.
        runtime: what runs tasks: ``process``, or a container runtime with its version and program.
        host: that of the endpoint, as it was asked for.
        catch_up: what becomes of missed fire times.
        cpus: as declared when it started; None for those of the machine. So are ``memory`` and ``gpus``.
    """

    pid: int
    endpoint: str
    socket: str
    http_url: str
    console_url: str
    config: str
    home: str
    python: str
    auth: bool
    version: str
    runtime: str = TaskRuntime.PROCESS.value
    host: str = "127.0.0.1"
    catch_up: str = CatchUp.LAST.value
    cpus: str | None = None
    memory: str | None = None
    gpus: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Paths below one home folder."""

    root: Path

    @classmethod
    def resolve(cls, given: str | Path | None, environ: Mapping[str, str]) -> Home:
        """Return the home asked for, else ``$HYDRAFLYTE_HOME``, else the platform's user data folder."""
        chosen = given or environ.get("HYDRAFLYTE_HOME") or platformdirs.user_data_path("hydraflyte", appauthor=False)
        return cls(root=Path(chosen).expanduser().absolute())

    @property
    def database(self) -> Path:
        return self.root / "backend.sqlite"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def token_file(self) -> Path:
        return self.root / "token"

    @property
    def client_config(self) -> Path:
        return self.root / "client.yaml"

    @property
    def mail_settings(self) -> Path:
        return self.root / "smtp.yaml"

    @property
    def container_runtime(self) -> Path:
        """Kind and program of the container runtime that may have containers of this home; gone once it has none."""
        return self.root / "container-runtime"

    @property
    def log_file(self) -> Path:
        return self.root / "backend.log"

    @property
    def lock_file(self) -> Path:
        return self.root / HOME_MARK

    @property
    def state_file(self) -> Path:
        return self.root / "backend.json"

    @property
    def socket(self) -> Path:
        """The Unix socket: in the home, or in a private temporary folder if that path would be too long."""
        inside = self.root / "backend.sock"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        outside = Path(tempfile.gettempdir()).absolute() / f"hydraflyte-{os.getuid()}" / f"{digest}.sock"
        if len(os.fsencode(outside)) <= _LONGEST_SOCKET_PATH:
            return outside
        return Path("/tmp", *outside.parts[-2:])

    def prepare(self) -> None:
        """Create the folders, private to this user.

        Raises:
            BackendStartError: the home cannot be written, belongs to another user, or holds something else.
        """
        self._refuse_foreign_folder()
        _make_private(self.root)
        self.lock_file.touch(mode=0o600)  # from now on the folder is known for a home
        if self.socket.parent != self.root:
            _refuse_link(self.socket.parent)
            _make_private(self.socket.parent)

    def _refuse_foreign_folder(self) -> None:
        """A home is closed to everybody else: never do that to a folder that is used for something else."""
        if self.root.is_dir() and not self.lock_file.exists() and any(self.root.iterdir()):
            raise BackendStartError(
                f"The folder {self.root} is no home of a backend, and it is not empty.",
                hint="choose a new or empty folder with --home or HYDRAFLYTE_HOME.",
            )

    def lock(self) -> int:
        """Take the home for this process; returns a descriptor to keep open for as long as it is held.

        Raises:
            BackendStartError: another backend holds it, or the disk is full.
        """
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock_within(descriptor, _LOCK_PATIENCE_S):
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise BackendStartError(
                f"Another backend (pid {holder}) already serves the home {self.root}.",
                hint="use it (`hydraflyte status`), stop it (`hydraflyte down`), or choose another folder with --home.",
            )
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except OSError as error:
            os.close(descriptor)
            raise _cannot_write(self.lock_file, error) from error
        return descriptor

    def is_locked(self) -> bool:
        """Tell whether a backend process holds this home right now."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            # Shared: who looks never takes another who looks for a holder.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def token(self) -> str:
        """Return the token that lets a client in over TCP, making one the first time, or if the file is damaged."""
        found = self._read_token()
        if len(found) >= _SHORTEST_TOKEN:
            return found
        made = secrets.token_urlsafe(32)
        write_private(self.token_file, made + "\n")
        return made

    def _read_token(self) -> str:
        try:
            return self.token_file.read_text(encoding="ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return ""

    def announce(self, backend: RunningBackend) -> None:
        """Say who serves this home."""
        write_private(self.state_file, json.dumps(asdict(backend), indent=2) + "\n")

    def running(self) -> RunningBackend | None:
        """Return who serves this home, or None if nobody does (yet: it may be starting)."""
        announced = self.last_announced()
        if announced is None or not self.is_locked() or self.holder() != announced.pid:
            return None
        return announced

    def holder(self) -> int | None:
        """Return the process id that whoever locked the home last wrote down; None if it is unreadable."""
        try:
            return int(self.lock_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def last_announced(self) -> RunningBackend | None:
        """Return who serves this home, or served it last; None if nobody ever did, as far as can be read."""
        try:
            return RunningBackend(**json.loads(self.state_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None  # never served, written by another version, or a folder that cannot be: ``prepare`` says why


def write_private(path: Path, content: str | bytes) -> None:
    """Put ``content`` (text as UTF-8) at ``path``, readable by this user only, whole or not at all.

    Raises:
        BackendStartError: the disk is full, or the folder cannot be written.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".partial-")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> BackendStartError:
    return BackendStartError(
        f"{path} cannot be written: {error.strerror or error}.",
        hint="check the free space there, or choose another folder with --home or HYDRAFLYTE_HOME.",
    )


def _lock_within(descriptor: int, patience_s: float) -> bool:
    """Lock the file; a moment's patience because :meth:`Home.is_locked` holds the lock while it looks."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _refuse_link(folder: Path) -> None:
    """In a folder that others can write to, a link may be theirs: it would lead us, and later our clients, anywhere."""
    if folder.is_symlink():
        raise BackendStartError(
            f"{folder} is a link; the folder of the backend's socket must not be one.",
            hint="remove it, or choose a home with a path of less than 90 characters with --home.",
        )


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
        if owner == os.getuid() and stat.S_IMODE(folder.stat().st_mode) != 0o700:
            folder.chmod(0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BackendStartError(
            f"The folder {folder} cannot be used: {error.strerror or error}.",
            hint="choose a writable folder with --home or HYDRAFLYTE_HOME, and check its free space.",
        ) from error
    if owner != os.getuid():
        raise BackendStartError(
            f"The folder {folder} belongs to another user (uid {owner}).",
            hint="choose a folder of your own with --home or HYDRAFLYTE_HOME.",
        )

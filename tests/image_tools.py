"""Real registries, builders and container engines for tests, started on loopback and stopped after them.

A tool that is not installed skips the test on a user's machine and fails it in CI; ``.ci/install-tools`` installs all
of them. Everything a tool stores lies in a folder of its own below the system's temporary folder: paths stay short
enough for sockets. The pushes made here use no code of hydraflyte, so that its own registry client can be tested
against them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
import requests

_START_LIMIT_S = 30.0
_BUSYBOX_COMMANDS = (
    "sh ls cat cp mv rm mkdir rmdir echo sleep env id true false chmod ln test head tail wc dd df kill printf"
)
_OF_CLOUDS = ("adlfs", "botocore", "cryptography", "s3fs")  # a task on this machine imports none of them
_NOT_IN_THE_IMAGE = ("site-packages", "test", "tests", "idlelib", "turtledemo", "ensurepip", "lib2to3", "__pycache__")


def require(*tools: str) -> None:
    """Skip the test, or fail it in CI, unless all the tools are on PATH."""
    lacking = [tool for tool in tools if find_tool(tool) is None]
    if not lacking:
        return
    reason = f"not installed: {', '.join(lacking)}; .ci/install-tools installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def find_tool(tool: str) -> str | None:
    return shutil.which(tool, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedRegistry:
    """A registry that speaks TLS with a certificate of its own, and asks for a password."""

    host: str
    username: str
    password: str
    certificate: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A container engine or builder that keeps all it stores in a folder of the tests.

    Attributes:
        environment: variables that make its command use that folder; to be added to the environment.
    """

    environment: Mapping[str, str]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command line of the engine; raises AssertionError with its output when it fails."""
        program = find_tool(arguments[0])
        assert program is not None
        environment = {**os.environ, **self.environment}
        ended = subprocess.run(
            [program, *arguments[1:]], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert ended.returncode == 0, f"{' '.join(arguments)}\n{ended.stdout}{ended.stderr}"
        return ended


@pytest.fixture(scope="session")
def tools_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hf-img."))
    yield folder
    subprocess.run(["rm", "-rf", folder], check=False)  # tens of thousands of files: four times as fast as Python's own


@pytest.fixture(scope="session")
def registry(tools_folder: Path) -> Iterator[str]:
    """``localhost:<port>`` of a registry in plain text that anybody may push to; deleting is allowed."""
    with run_registry(tools_folder / "registry") as host:
        yield host


@pytest.fixture(scope="session")
def locked_registry(tools_folder: Path) -> Iterator[LockedRegistry]:
    """A registry with TLS (its certificate is signed by itself) and a user."""
    require("htpasswd", "openssl")
    folder = tools_folder / "locked"
    folder.mkdir()
    certificate, key, users = folder / "tls.crt", folder / "tls.key", folder / "htpasswd"
    _call(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
    )
    users.write_bytes(_call("htpasswd", "-Bbn", "ada", "lovelace"))
    settings = {
        "http": {"tls": {"certificate": str(certificate), "key": str(key)}},
        "auth": {"htpasswd": {"realm": "tests", "path": str(users)}},
    }
    with run_registry(folder / "store", settings) as host:
        yield LockedRegistry(host=host, username="ada", password="lovelace", certificate=certificate)


@pytest.fixture(scope="session")
def podman(tools_folder: Path) -> Iterator[Engine]:
    """Podman and buildah: one store, overlay, runc, no network of their own."""
    require("podman", "runc")
    with run_containers_engine(tools_folder / "podman") as engine:
        yield engine


@pytest.fixture(scope="session")
def buildah(tools_folder: Path) -> Iterator[Engine]:
    """Buildah with a store of its own."""
    require("buildah", "runc")
    with run_containers_engine(tools_folder / "buildah") as engine:
        yield engine


@pytest.fixture(scope="session")
def docker(tools_folder: Path) -> Iterator[Engine]:
    """A Docker daemon; ``DOCKER_HOST`` of its environment names its socket. Its containers have no bridge."""
    require("dockerd", "docker", "runc")
    with run_docker(tools_folder / "docker") as engine:
        yield engine


@pytest.fixture(scope="session")
def shell_image(registry: str) -> str:
    """Reference of a tiny image in ``registry``: a shell and little else, for Dockerfiles with a RUN. 1 MB."""
    require("busybox")
    return push_image(registry, "base/shell", "1", layers=[_shell_layer()], environment=["PATH=/bin"])


@pytest.fixture(scope="session")
def base_image(registry: str) -> str:
    """Reference of a small image in ``registry``: this Python with its library, and a shell. 30 MB compressed."""
    require("busybox")
    return push_image(registry, "base/python", "1", layers=[_python_layer()], environment=_image_environment())


@pytest.fixture(scope="session")
def flyte_image(registry: str) -> str:
    """Reference of an image in which flytekit and hydraflyte can be imported: what a task needs. 150 MB as it is."""
    require("busybox")
    layers = [_python_layer(), _packages_layer("hydraflyte")]
    return push_image(registry, "base/flyte", "1", layers=layers, environment=_image_environment())


@pytest.fixture(scope="session")
def plain_flyte_image(registry: str) -> str:
    """Reference of an image with flytekit, and nothing of hydraflyte: any image that somebody has for Flyte."""
    require("busybox")
    layers = [_python_layer(), _packages_layer("flytekit", without=_OF_CLOUDS)]
    return push_image(registry, "base/plain-flyte", "1", layers=layers, environment=_image_environment())


@contextlib.contextmanager
def run_registry(folder: Path, settings: Mapping[str, Mapping[str, object]] | None = None) -> Iterator[str]:
    """Serve a registry that stores in ``folder`` on a free port; gives ``localhost:<port>``."""
    require("docker-registry")
    folder.mkdir(parents=True)
    given = dict(settings or {})
    port = _free_port()
    config = {
        "version": "0.1",
        "log": {"accesslog": {"disabled": False}, "level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder)}, "delete": {"enabled": True}},
        **given,
        "http": {"addr": f"127.0.0.1:{port}", **given.get("http", {})},
    }
    (folder / "registry.yml").write_text(json.dumps(config))  # JSON is YAML
    log = folder / "registry.log"
    with _running(["docker-registry", "serve", str(folder / "registry.yml")], log) as process:
        _wait_until(lambda: _accepts(port), process, log)
        yield f"localhost:{port}"


@contextlib.contextmanager
def run_docker(folder: Path) -> Iterator[Engine]:
    """Run a Docker daemon that keeps everything in ``folder``."""
    (folder / "client").mkdir(parents=True)
    address = f"unix://{folder}/docker.sock"
    settings = {
        "data-root": str(folder / "data"),
        "exec-root": str(folder / "exec"),
        "pidfile": str(folder / "docker.pid"),
        "hosts": [address],
        "storage-driver": "overlay2",
        "iptables": False,
        "ip6tables": False,
        "bridge": "none",
        "ip-forward": False,
        "ip-masq": False,
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 20000}},
    }
    (folder / "daemon.json").write_text(json.dumps(settings))
    engine = Engine(environment={"DOCKER_HOST": address, "DOCKER_CONFIG": str(folder / "client")})
    with _running(["dockerd", "--config-file", str(folder / "daemon.json")], folder / "dockerd.log") as process:
        _wait_until(lambda: (folder / "docker.sock").exists() and _answers(engine), process, folder / "dockerd.log")
        yield engine
    _unmount_below(folder)


def push_image(
    registry: str, repository: str, tag: str, *, layers: Sequence[bytes], environment: Sequence[str] = ()
) -> str:
    """Push an image of these layers (plain tars) for this machine; returns ``registry/repository:tag``."""
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Env": list(environment)},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
        "history": [{"created_by": "tests"} for _ in layers],
    }
    kind = "application/vnd.oci.image"
    config_bytes = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": _descriptor(f"{kind}.config.v1+json", config_bytes),
        "layers": [_descriptor(f"{kind}.layer.v1.tar", layer) for layer in layers],
    }
    with requests.Session() as session:
        session.trust_env = False  # a proxy has no business on loopback
        place = f"http://{registry}/v2/{repository}"
        for blob in (config_bytes, *layers):
            _push_blob(session, place, blob)
        pushed = session.put(
            f"{place}/manifests/{tag}",
            data=json.dumps(manifest).encode(),
            headers={"Content-Type": f"{kind}.manifest.v1+json"},
        )
        pushed.raise_for_status()
    return f"{registry}/{repository}:{tag}"


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Return a plain tar of these files, path -> content; all may be executed."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.lstrip("/"))
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _push_blob(session: requests.Session, place: str, blob: bytes) -> None:
    opened = session.post(f"{place}/blobs/uploads/")
    opened.raise_for_status()
    location = opened.headers["Location"]
    joint = "&" if "?" in location else "?"
    session.put(
        f"{location}{joint}digest={_digest(blob)}", data=blob, headers={"Content-Type": "application/octet-stream"}
    ).raise_for_status()


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _python_layer() -> bytes:
    """This interpreter with its library and shared libraries, busybox, and the tar that flytekit calls."""
    interpreter = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    library = Path(sys.base_prefix, "lib", f"python{sys.version_info.major}.{sys.version_info.minor}")
    modules = [path for path in (library / "lib-dynload").glob("*.so") if "_test" not in path.name]
    archivers = [Path(found) for found in map(find_tool, ("tar", "gzip")) if found]
    with io.BytesIO() as stream, tarfile.open(fileobj=stream, mode="w", dereference=True) as tar:
        for path in {interpreter, *archivers, *_shared_libraries([interpreter, *archivers, *modules])}:
            tar.add(path, arcname=str(path))
        tar.add(library, arcname=str(library), filter=_needed)
        tar.add("/etc/ld.so.cache")
        _add_shell(tar)
        for name in ("python", "python3", interpreter.name):
            _add_link(tar, f"usr/local/bin/{name}", str(interpreter))
        tar.close()
        return stream.getvalue()


def _shell_layer() -> bytes:
    with io.BytesIO() as stream, tarfile.open(fileobj=stream, mode="w", dereference=True) as tar:
        _add_shell(tar)
        tar.close()
        return stream.getvalue()


def _add_shell(tar: tarfile.TarFile) -> None:
    """Add what every image needs: busybox under the names of its commands, a user, and the usual folders."""
    busybox = find_tool("busybox")
    assert busybox is not None
    tar.add(busybox, arcname="bin/busybox")
    for command in _BUSYBOX_COMMANDS.split():
        _add_link(tar, f"bin/{command}", "busybox")
    _add_file(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    for name, mode in {"root": 0o700, "tmp": 0o1777, "dev": 0o755, "proc": 0o755}.items():
        _add_folder(tar, name, mode)


def _packages_layer(distribution: str, *, without: Sequence[str] = ()) -> bytes:
    """A distribution and all it requires, as installed here, in the interpreter's site-packages.

    With compiled modules, those of the standard library too: compiling takes a container several seconds each time.
    """
    library = Path(sys.base_prefix, "lib", f"python{sys.version_info.major}.{sys.version_info.minor}")
    site_packages = library / "site-packages"
    libraries: set[Path] = set()
    with io.BytesIO() as stream, tarfile.open(fileobj=stream, mode="w", dereference=True) as tar:
        for path in library.rglob(f"__pycache__/*.{sys.implementation.cache_tag}.pyc"):
            if not {"site-packages", "test", "tests", "idlelib", "lib2to3"} & set(path.parts):
                tar.add(path, arcname=str(path))
        for installed in _closure(distribution, without):
            binaries = []
            for entry in installed.files or ():
                path = Path(str(installed.locate_file(entry)))
                if ".." in entry.parts or not path.is_file():
                    continue
                tar.add(path, arcname=str(site_packages / entry))
                if ".so" in path.name:
                    binaries.append(path)
            _add_commands(tar, installed)
            libraries |= {path for path in _shared_libraries(binaries) if "site-packages" not in path.parts}
        editable = ("hydraflyte", "hydra_plugins") if distribution == "hydraflyte" else ()
        for package in editable:  # its files lie in the checkout
            source = Path(__file__).resolve().parents[1] / "src" / package
            tar.add(source, arcname=str(site_packages / package), filter=_needed)
        for path in libraries:
            tar.add(path, arcname=str(path))
        tar.close()
        return stream.getvalue()


def _add_commands(tar: tarfile.TarFile, installed: metadata.Distribution) -> None:
    """Add the commands of a distribution, such as ``pyflyte-execute``."""
    for command in installed.entry_points.select(group="console_scripts"):
        code = f"import sys\nfrom {command.module} import {command.attr}\nsys.exit({command.attr}())\n"
        _add_file(tar, f"usr/local/bin/{command.name}", f"#!/usr/local/bin/python\n{code}".encode(), 0o755)


def _closure(distribution: str, without: Sequence[str] = ()) -> list[metadata.Distribution]:
    """Return the distribution and what it requires, without extras."""
    from packaging.requirements import Requirement

    found: dict[str, metadata.Distribution] = {}
    waiting = [distribution]
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found or name in without:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # required on other systems only
        requirements = [Requirement(text) for text in found[name].requires or ()]
        waiting += [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return list(found.values())


def _shared_libraries(binaries: Sequence[Path]) -> set[Path]:
    """Return the absolute paths of the shared libraries that the loader would take."""
    if not binaries:
        return set()
    listing = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    words = [word for line in listing.splitlines() if "(0x" in line for word in line.split() if word.startswith("/")]
    return {Path(word) for word in words}


def _needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    path = Path(member.name)
    return None if path.name in _NOT_IN_THE_IMAGE or path.suffix == ".a" else member


def _image_environment() -> list[str]:
    return ["PATH=/usr/local/bin:/usr/bin:/bin", f"PYTHONHOME={sys.base_prefix}", "PYTHONDONTWRITEBYTECODE=1"]


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    tar.addfile(member)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    tar.addfile(member)


@contextlib.contextmanager
def run_containers_engine(folder: Path) -> Iterator[Engine]:
    """Let podman and buildah keep everything in ``folder``: one store, overlay, runc, no network of their own."""
    (folder / "tmp").mkdir(parents=True)
    (folder / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:20000", "nproc=1000:1000"]\nnetns = "host"\n'
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/run"\n'
    )
    (folder / "registries.conf").write_text(
        'unqualified-search-registries = []\n[[registry]]\nlocation = "localhost"\n'
    )
    environment = {
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
        "BUILDAH_ISOLATION": "chroot",
        "TMPDIR": str(folder / "tmp"),
    }
    yield Engine(environment=environment)
    _unmount_below(folder)


@contextlib.contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server; it ends with this context, and with this process should that be killed."""
    program = find_tool(command[0])
    assert program is not None
    keeper = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    environment = {**os.environ, "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*keeper, program, *command[1:]], stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until(is_up: object, process: subprocess.Popen[bytes], log: Path) -> None:
    assert callable(is_up)
    deadline = time.monotonic() + _START_LIMIT_S
    while not is_up():
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.02)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _answers(engine: Engine) -> bool:
    environment = {**os.environ, **engine.environment}
    return subprocess.run(["docker", "version"], env=environment, capture_output=True, check=False).returncode == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _unmount_below(folder: Path) -> None:
    """Take away the mounts that an engine left behind, the deepest first; else its folder could not be removed."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in sorted((path for path in mounted if path.startswith(f"{folder}/")), key=len, reverse=True):
        subprocess.run(["umount", "-l", path], capture_output=True, check=False)


def _call(*command: str) -> bytes:
    program = find_tool(command[0])
    assert program is not None
    return subprocess.run([program, *command[1:]], capture_output=True, check=True, timeout=60).stdout

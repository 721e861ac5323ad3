"""An image for changed code: append against buildah and BuildKit, cold and warm, on a base of 2 GB on loopback.

The code is a tree of 3 MB in 266 files. Cold: nothing of the base is on the machine. Warm: the builder built the same
image before, with other code. Needs docker-registry; a builder that is not installed is left out. Linux, as root.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import report, summary
from tests.image_tools import Engine, find_tool, run_containers_engine, run_docker, run_registry

from hydraflyte.launcher.code.files import SourceTree, collect_files
from hydraflyte.launcher.images.append import LayerAppender
from hydraflyte.launcher.images.building import BuildRequest, BuiltImage, Target
from hydraflyte.launcher.images.layers import Entry, Layer, write_layer
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, digest_of, encode

LAYERS = 8
FILES = 266
FILE_BYTES = 11_500
TURNS = 9
WARM_TURNS = 3
LIMITS = {"append_s": 0.5, "append_sent_mb": 1.0, "unchanged_s": 0.1, "unchanged_requests": 1}
DOCKERFILE = "ARG BASE_IMAGE\nARG BASE_VERSION\nFROM ${BASE_IMAGE}:${BASE_VERSION}\nWORKDIR /root\nCOPY . /root\n"
NEW_PROCESS = """
import sys
from pathlib import Path
from hydraflyte.launcher.code.files import SourceTree, collect_files
from hydraflyte.launcher.images.append import LayerAppender
from hydraflyte.launcher.images.building import BuildRequest, Target
base, repository, code = sys.argv[1:]
files = collect_files(SourceTree(source_root=Path(code)))
request = BuildRequest(target=Target(repository=repository, tag="1"), base=base, context=Path(code), files=files)
LayerAppender().build(request, print)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-mb", type=int, default=2000, help="size of the base")
    parser.add_argument("--folder", type=Path, help="where to keep things; needs four times the base")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hf-images.", dir=options.folder) as name:
        work = Path(name)
        code = work / "code"
        write_code(code)
        with run_registry(work / "registry") as host:
            base = push_base(host, work, options.base_mb)
            append = measure_append(host, base, code)
            builders = {
                "buildah": measured(["buildah", "runc"], lambda: measure_buildah(host, base, code, work)),
                "buildkit": measured(["dockerd", "docker"], lambda: measure_buildkit(host, base, code, work)),
            }
    report("images", {"base_mb": options.base_mb, "code_files": FILES, "limits": LIMITS, **append, **builders})
    for line in table(append, builders):
        print(line)


def measure_append(host: str, base: str, code: Path) -> dict[str, Any]:
    digest = Registry.open(base).head_manifest("1")
    assert digest is not None
    pinned = f"{base.rpartition(':')[0]}@{digest.digest}"
    repository = f"{host}/bench/append"
    first_s, _ = append_once(repository, base, code)
    changed, sent, new_process = [], [], []
    for turn in range(TURNS):
        change(code, turn)
        elapsed, built = append_once(repository, base, code)
        changed.append(elapsed)
        sent.append((built.sent_bytes or 0) / 1e6)
        change(code, TURNS + turn)
        new_process.append(elapsed_of([sys.executable, "-c", NEW_PROCESS, base, repository, str(code)], os.environ))
    append_once(repository, pinned, code)
    unchanged = [append_once(repository, pinned, code)[0] for _ in range(TURNS)]
    by_tag = [append_once(repository, base, code)[0] for _ in range(TURNS)]
    requests = requests_of(host, lambda: append_once(repository, pinned, code))
    by_tag_requests = requests_of(host, lambda: append_once(repository, base, code))
    holds = (
        summary(changed)["median"] < LIMITS["append_s"]
        and max(sent) < LIMITS["append_sent_mb"]
        and summary(unchanged)["median"] < LIMITS["unchanged_s"]
        and requests == LIMITS["unchanged_requests"]
    )
    return {
        "holds": holds,
        "append_first_s": round(first_s, 4),
        "append_changed_code_s": summary(changed),
        "append_changed_code_sent_mb": summary(sent),
        "append_changed_code_in_a_new_process_s": summary(new_process),
        "append_unchanged_s": summary(unchanged),
        "append_unchanged_requests": requests,
        "append_unchanged_base_by_tag_s": summary(by_tag),
        "append_unchanged_base_by_tag_requests": by_tag_requests,
    }


def append_once(repository: str, base: str, code: Path) -> tuple[float, BuiltImage]:
    """Collect the code, append it and push; return how long that took."""
    started = time.perf_counter()
    files = collect_files(SourceTree(source_root=code))
    request = BuildRequest(target=Target(repository=repository, tag="1"), base=base, context=code, files=files)
    built = LayerAppender().build(request, lambda line: None)
    return time.perf_counter() - started, built


def requests_of(host: str, action: Callable[[], object]) -> int:
    """Return how many requests reach the registry, by its own count of what it answered."""
    before = answered(host)
    action()
    return answered(host) - before


def answered(host: str) -> int:
    log = LOGS[host].read_text(encoding="utf-8", errors="replace")
    return len(re.findall(r'"(?:GET|HEAD|POST|PUT|PATCH|DELETE) /v2/', log))


LOGS: dict[str, Path] = {}
"""The registry's log of what it answered, by its name."""


def measure_buildah(host: str, base: str, code: Path, work: Path) -> dict[str, Any]:
    def build(engine: Engine) -> list[list[str]]:
        image = f"{host}/bench/buildah:1"
        name, _, version = base.rpartition(":")
        arguments = ["--build-arg", f"BASE_IMAGE={name}", "--build-arg", f"BASE_VERSION={version}"]
        dockerfile = ["-f", str(work / "Dockerfile"), "-t", image]
        return [
            ["buildah", "build", "--layers", "--tls-verify=false", *arguments, *dockerfile, str(code)],
            ["buildah", "push", "--tls-verify=false", image],
        ]

    return measure_builder(lambda: run_containers_engine(work / "buildah"), build, code, work)


def measure_buildkit(host: str, base: str, code: Path, work: Path) -> dict[str, Any]:
    def build(engine: Engine) -> list[list[str]]:
        image = f"{host}/bench/buildkit:1"
        name, _, version = base.rpartition(":")
        arguments = ["--build-arg", f"BASE_IMAGE={name}", "--build-arg", f"BASE_VERSION={version}"]
        dockerfile = ["-f", str(work / "Dockerfile"), "-t", image]
        return [
            [docker_with_buildkit(), "build", "--network=none", *arguments, *dockerfile, str(code)],
            [docker_with_buildkit(), "push", image],
        ]

    return measure_builder(lambda: run_docker(work / "docker"), build, code, work)


def docker_with_buildkit() -> str:
    """Return Debian's own client, which has BuildKit built in, where there is one; others need buildx."""
    return "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"


def measure_builder(
    engine: Callable[[], contextlib.AbstractContextManager[Engine]],
    build: Callable[[Engine], Sequence[Sequence[str]]],
    code: Path,
    work: Path,
) -> dict[str, Any]:
    (work / "Dockerfile").write_text(DOCKERFILE)
    with engine() as running:
        environment = {**os.environ, **running.environment, "DOCKER_BUILDKIT": "1"}

        def turn() -> float:
            return sum(elapsed_of(command, environment) for command in build(running))

        change(code, 1000)
        cold = turn()
        warm = []
        for number in range(WARM_TURNS):
            change(code, 1001 + number)
            warm.append(turn())
        unchanged = [turn() for _ in range(WARM_TURNS)]
    return {"cold_s": round(cold, 3), "warm_changed_code_s": summary(warm), "warm_unchanged_s": summary(unchanged)}


def measured(tools: Sequence[str], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    lacking = [tool for tool in tools if find_tool(tool) is None]
    return {"not_installed": lacking} if lacking else measure()


def elapsed_of(command: Sequence[str], environment: Any) -> float:
    started = time.perf_counter()
    ended = subprocess.run(list(command), env=dict(environment), capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return time.perf_counter() - started


def write_code(folder: Path) -> None:
    """Write modules of names and numbers that compress as source code does, about five to one."""
    words = [f"{verb}_{noun}" for verb in ("load", "train", "split", "score") for noun in ("model", "data", "batch")]
    chance = random.Random(7)
    for number in range(FILES):
        path = folder / f"package_{number % 12}" / f"module_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines: list[str] = []
        while sum(map(len, lines)) < FILE_BYTES:
            name = chance.choice(words)
            lines.append(f"def {name}_{chance.randrange(10**6)}(x):\n    return {name}(x, {chance.random():.6f})\n")
        path.write_text("".join(lines))


def change(code: Path, turn: int) -> None:
    """Change one file, as an edit does."""
    (code / "package_0" / "module_0.py").write_text(f"TURN = {turn}\n")


def push_base(host: str, work: Path, megabytes: int) -> str:
    """Push a base of random bytes in some layers, and a shell; returns its reference."""
    registry = Registry.open(f"{host}/bench/base", writes=True)
    layers = [one for number in range(LAYERS) for one in pushed_layer(registry, work, megabytes // LAYERS, number)]
    config = encode(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "WorkingDir": "/root"},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created_by": "bench"} for _ in layers],
        }
    )
    registry.push_blob(digest_of(config), config)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": OCI_LAYER, "digest": layer.digest, "size": layer.size_bytes} for layer in layers],
    }
    registry.push_manifest("1", encode(document), OCI_MANIFEST)
    LOGS[host] = work / "registry" / "registry.log"
    return f"{host}/bench/base:1"


def pushed_layer(registry: Registry, work: Path, megabytes: int, number: int) -> Iterator[Layer]:
    content, packed = work / "content", work / "layer"
    with open(content, "wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))
    layer = write_layer([Entry(name=f"data/{number}", source=content)], packed, created_by="bench")
    registry.push_blob(layer.digest, packed)
    content.unlink()
    packed.unlink()
    yield layer


def table(append: dict[str, Any], builders: dict[str, dict[str, Any]]) -> Iterator[str]:
    changed, unchanged = append["append_changed_code_s"]["median"], append["append_unchanged_s"]["median"]
    yield "| | nothing here yet | changed code | unchanged |"
    yield "|---|---|---|---|"
    yield f"| append | {append['append_first_s']:.2f} s | {changed:.2f} s | {unchanged:.3f} s |"
    for name, figures in builders.items():
        if "not_installed" in figures:
            yield f"| {name} | not installed: {', '.join(figures['not_installed'])} | | |"
        else:
            warm, same = figures["warm_changed_code_s"]["median"], figures["warm_unchanged_s"]["median"]
            yield f"| {name} | {figures['cold_s']:.1f} s | {warm:.2f} s | {same:.2f} s |"


if __name__ == "__main__":
    main()

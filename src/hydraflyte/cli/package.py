"""``package``: one file with everything that a registration needs, written without a backend."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydraflyte.cli.options import Verbs, add_json, print_json
from hydraflyte.errors import ConfigError, PackagingError

if TYPE_CHECKING:  # imported late where used: grpc and flytekit cost 1 s that `--help` need not pay
    from hydraflyte.launcher.artifacts.contents import Artifact

_NO_LAUNCHER = "Key 'package' not in '"
"""What Hydra says where another launcher is chosen, or none."""
_LAUNCHER = "hydra/launcher=hydraflyte"


def add_verbs(verbs: Verbs) -> None:
    """Add the verb of this module."""
    package = verbs.add_parser(
        "package",
        help="write entities, code and config of a script into one file",
        description="Write a versioned artifact, which `hydraflyte deliver` registers; no backend is needed.",
    )
    package.add_argument("script", metavar="SCRIPT", help="the Hydra program")
    package.add_argument(
        "overrides", nargs="*", metavar="OVERRIDE", help="in Hydra's grammar; they change the packaged defaults"
    )
    package.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="ending in .tgz: the standard Flyte package"
    )
    package.add_argument("--dry-run", action="store_true", help="only say what would be packaged")
    add_json(package)
    package.set_defaults(run=run_package)


def run_package(options: argparse.Namespace) -> int:
    """Run the script in a process of its own, as ``python SCRIPT -m …`` does, and have its launcher write the file."""
    if not Path(options.script).is_file():
        raise ConfigError(f"There is no script {options.script}.", hint="give the path of a Hydra program.")
    output = Path(os.path.abspath(options.output))
    if not output.parent.is_dir():
        raise ConfigError(
            f"{options.output} cannot be written: there is no folder {output.parent}.",
            hint=f"correct the path, or `mkdir -p {output.parent}`.",
        )
    ended, told = _run_script(options, output)
    if ended.returncode != 0 and told is not None and "error" in told:
        raise PackagingError(told["error"], hint=told["hint"])
    if ended.returncode != 0:
        raise PackagingError(
            f"{options.script} could not be packaged:\n{ended.stderr.strip() or ended.stdout.strip()}",
            hint="the text above is the program's own; `python SCRIPT -m hydra.launcher.dry_run=true` shows its plan.",
        )
    if not options.json:
        print(ended.stdout, end="")
    elif options.dry_run:
        print_json({"dry_run": True, "plan": ended.stdout})
    else:
        print_json(_facts(output))
    return 0


def _run_script(
    options: argparse.Namespace, output: Path
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any] | None]:  # Any: a JSON-like tree
    """Return how the script ended, and what its launch tells of it."""
    from hydraflyte.launcher.records.told import read_record

    with tempfile.TemporaryDirectory(prefix="hydraflyte-package-") as scratch:
        wanted = "hydra.launcher.dry_run=true" if options.dry_run else f"hydra.launcher.package={_quoted(output)}"
        arguments = [*options.overrides, f"hydra.sweep.dir={_quoted(Path(scratch))}", wanted]
        record = Path(scratch) / "record.json"
        ended = _run(options.script, arguments, record)
        if ended.returncode != 0 and (_NO_LAUNCHER in ended.stderr or "Key 'dry_run' not in '" in ended.stderr):
            ended = _run(options.script, [_LAUNCHER, *arguments], record)
        return ended, read_record(record)


def _run(script: str, arguments: list[str], record: Path) -> subprocess.CompletedProcess[str]:
    from hydraflyte.launcher.records.told import RECORD_VARIABLE

    return subprocess.run(
        [sys.executable, script, "-m", *arguments],
        env={**os.environ, RECORD_VARIABLE: str(record)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
    )


def _quoted(path: Path) -> str:
    """Return a path as Hydra's grammar reads it."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _facts(output: Path) -> dict[str, Any]:
    from hydraflyte.launcher.artifacts.contents import read_package, sha256_of

    with tempfile.TemporaryDirectory(prefix="hydraflyte-package-") as scratch:
        artifact = read_package(output, Path(scratch))
        with output.open("rb") as file:
            digest = sha256_of(file)
        return {"file": str(output), "sha256": digest, **artifact_facts(artifact)}


def artifact_facts(artifact: Artifact) -> dict[str, Any]:
    """Return what a package holds, for JSON."""
    from dataclasses import asdict

    return {
        "manifest": asdict(artifact.manifest) if artifact.manifest is not None else None,
        "code": artifact.code.name if artifact.code is not None else None,
        "entities": [{"kind": each.kind, "name": each.identifier.name} for each in artifact.entities],
        "documents": sorted(artifact.documents),
    }

"""A folder with all that is known of an execution: code, config, inputs, and a program that runs it here.

One rule: the folder needs no backend, and what stands in it is what was recorded. The bundle is unpacked with the same
mistrust as a package of strangers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from flyteidl.core import execution_pb2, literals_pb2

from hydraflyte.errors import ArtifactError, ReproductionError
from hydraflyte.launcher.artifacts.archive import Member, opened
from hydraflyte.launcher.provenance import COMMAND_LINE
from hydraflyte.launcher.reproduction.differences import Difference
from hydraflyte.launcher.reproduction.places import fetch_file, scratch_folder
from hydraflyte.launcher.reproduction.recorded import Recorded
from hydraflyte.transport.readable import readable_map
from hydraflyte.transport.settings import HYDRA_JOB_VARIABLE

CODE, INPUTS, OUTPUTS, ABOUT = "code", "inputs.pb", "outputs.pb", "execution.json"
_RUN = '''"""Runs {entity} again in this process, as in the execution {name}: python run.py"""

import sys
from pathlib import Path

from hydraflyte.launcher.reproduction.local import run_folder

if __name__ == "__main__":
    sys.exit(run_folder(Path(__file__).resolve().parent))
'''


def write_folder(recorded: Recorded, into: Path, differences: Sequence[Difference]) -> None:
    """Write the folder, which must be new or empty.

    Raises:
        ReproductionError: the folder is in use, or the code bundle is gone or cannot be fetched.
        ArtifactError: the code bundle is damaged, or holds what none may hold.
    """
    _make(into)
    if recorded.code_uris:
        with scratch_folder() as scratch:
            unpack_code(fetch_file(recorded.code_uris[0], Path(scratch)), into / CODE)
        _check_files(into / CODE, recorded.document.get("files", {}))
    (into / INPUTS).write_bytes(recorded.inputs.SerializeToString(deterministic=True))
    if recorded.outputs is not None:
        (into / OUTPUTS).write_bytes(recorded.outputs.SerializeToString(deterministic=True))
    _write_config(recorded, into / "config")
    (into / ABOUT).write_text(json.dumps(_about(recorded), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    diff = _diff(recorded)
    if diff:
        (into / "uncommitted.diff").write_text(diff, encoding="utf-8", errors="surrogateescape")
    (into / "run.py").write_text(_RUN.format(entity=recorded.entity_name, name=recorded.name), encoding="utf-8")
    (into / "README.md").write_text(_readme(recorded, differences), encoding="utf-8")


def unpack_code(archive: Path, into: Path) -> None:
    """Unpack a code bundle into the new folder ``into``: files, folders, and links that stay inside.

    Raises:
        ArtifactError: it is damaged, or holds something else.
    """
    into.mkdir()
    links: list[Member] = []
    with opened(archive) as members:
        for member in members:
            path = into / member.name
            if member.link_target is not None:
                links.append(member)
            elif member.is_directory:
                _inside(path.mkdir, member)
            else:
                _inside(path.parent.mkdir, member)
                with path.open("xb") as file:
                    file.writelines(member.chunks())
                path.chmod(0o755 if member.is_executable else 0o644)
    for link in links:  # last, so that nothing is written through one
        _link(link, into)


def _check_files(code: Path, recorded: object) -> None:
    """Check the code against the digests that were stored with the registration."""
    digests = recorded if isinstance(recorded, dict) else {}
    wrong = [
        name
        for name, digest in sorted(digests.items())
        if not (code / name).is_symlink() and (not (code / name).is_file() or _sha256(code / name) != digest)
    ]
    if wrong:
        raise ReproductionError(
            f"The code bundle is not the one that was registered: {', '.join(wrong[:5])}.",
            hint="somebody changed it in the blob store; what could be read is in the folder.",
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _inside(make_folder: Any, member: Member) -> None:  # Any: Path.mkdir, of whichever path
    try:
        make_folder(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(
            f"The archive is refused: {member.name!r} lies below a file.", hint="this is no code bundle of Flyte."
        ) from error


def _link(link: Member, into: Path) -> None:
    assert link.link_target is not None
    target = os.path.normpath(os.path.join(os.path.dirname(link.name), link.link_target))
    if os.path.isabs(link.link_target) or target.startswith(".."):
        raise ArtifactError(
            f"The archive is refused: the link {link.name!r} leads out of it.", hint="this is no code bundle of Flyte."
        )
    path = into / link.name
    _inside(path.parent.mkdir, link)
    try:
        path.symlink_to(link.link_target)
    except FileExistsError as error:
        raise ArtifactError(
            f"The archive is refused: {link.name!r} is a link and a folder.", hint="this is no code bundle of Flyte."
        ) from error


def _make(into: Path) -> None:
    try:
        into.mkdir(parents=True, exist_ok=True)
        is_used = any(into.iterdir())
    except OSError as error:
        raise ReproductionError(f"{into} cannot be made: {error.strerror}.", hint="choose another folder.") from error
    if is_used:
        raise ReproductionError(f"{into} is not empty.", hint="choose a new folder; nothing is overwritten.")


def _write_config(recorded: Recorded, folder: Path) -> None:
    folder.mkdir()
    values = readable_map(recorded.inputs)
    whole = next((name for name in ("cfg", "config") if _is_tree(recorded.inputs, name)), None)
    _write_yaml(folder / "config.yaml", values[whole] if whole is not None else values)
    _write_yaml(folder / "overrides.yaml", list(recorded.overrides))
    packed = recorded.environment.get(HYDRA_JOB_VARIABLE)
    if packed is not None:
        from hydraflyte.transport.hydra_job import unpack_hydra_job

        _write_yaml(folder / "hydra.yaml", unpack_hydra_job(packed))


def _is_tree(inputs: literals_pb2.LiteralMap, name: str) -> bool:
    return name in inputs.literals and isinstance(readable_map(inputs)[name], dict)


def _write_yaml(path: Path, content: object) -> None:
    plain = json.loads(json.dumps(content, default=str))
    path.write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _about(recorded: Recorded) -> Mapping[str, Any]:  # Any: JSON
    execution = recorded.execution
    return {
        "execution": f"{execution.id.project}/{execution.id.domain}/{execution.id.name}",
        "phase": execution_pb2.WorkflowExecution.Phase.Name(execution.closure.phase),
        "entity": recorded.entity_name,
        "version": recorded.launch_plan.id.version,
        "environment": recorded.environment,
        "python": recorded.interpreter,
        "versions": recorded.versions,
        "packages": recorded.packages,
        "images": sorted({task.container.image for task in recorded.tasks if task.container.image}),
        "annotations": dict(recorded.annotations),
        "inputs": readable_map(recorded.inputs),
        "outputs": None if recorded.outputs is None else readable_map(recorded.outputs),
    }


def _diff(recorded: Recorded) -> str:
    git = recorded.document.get("git")
    return str(git.get("diff") or "") if isinstance(git, dict) else ""


def _readme(recorded: Recorded, differences: Sequence[Difference]) -> str:
    execution = recorded.execution.id
    lines = "\n".join(f"- {each.kind}: {each.text}" for each in differences)
    command = recorded.annotations.get(COMMAND_LINE, "not recorded")
    return f"""# {execution.project}/{execution.domain}/{execution.name}

`python run.py` runs {recorded.entity_name} (version {recorded.launch_plan.id.version}) here with the recorded inputs,
and compares the outputs with the recorded ones.

- `code/`: the code bundle of that version; uncommitted files are in it as they were (`uncommitted.diff`, if any)
- `config/`: what the execution was given, its overrides, and Hydra's own part
- `inputs.pb`, `outputs.pb`: the literals; `execution.json` shows them, with the environment and the packages

It was launched by: `{command}`

What is not, or may not be, as it was:

{lines}
"""

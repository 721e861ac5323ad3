"""Package files of both kinds: read whole and unharmed, or refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2

from hydraflyte.errors import ArtifactError
from hydraflyte.launcher.artifacts.archive import opened, write_archive
from hydraflyte.launcher.artifacts.contents import (
    CONFIG,
    Artifact,
    Manifest,
    read_package,
    write_artifact,
    write_standard,
)
from hydraflyte.launcher.register import SerializedEntity


def entity(kind: int, name: str) -> SerializedEntity:
    identifier = identifier_pb2.Identifier(resource_type=kind, name=name)
    if kind == identifier_pb2.TASK:
        spec = task_pb2.TaskSpec()
        spec.template.id.CopyFrom(identifier)
        return SerializedEntity(identifier=identifier, spec=spec)
    if kind == identifier_pb2.WORKFLOW:
        workflow = workflow_pb2.WorkflowSpec()
        workflow.template.id.CopyFrom(identifier)
        return SerializedEntity(identifier=identifier, spec=workflow)
    plan = launch_plan_pb2.LaunchPlanSpec()
    plan.workflow_id.name = name
    return SerializedEntity(identifier=identifier, spec=plan)


ENTITIES = (
    entity(identifier_pb2.TASK, "m.t"),
    entity(identifier_pb2.WORKFLOW, "m.w"),
    entity(identifier_pb2.LAUNCH_PLAN, "m.w"),
)
MANIFEST = Manifest(
    workflow="m.w",
    version="v1",
    qualified="v1-0123",
    reason="given",
    project="p",
    domain="d",
    committed=True,
    uncommitted=("a.py",),
    require_clean=("production",),
    made_with={"python": "3.11.7"},
)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    code = tmp_path / "code-0.tar.gz"
    code.write_bytes(b"code")
    return Artifact(entities=ENTITIES, code=code, manifest=MANIFEST, documents={CONFIG: b"x: 1\n"})


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def members_of(path: Path) -> dict[str, bytes]:
    with opened(path) as members:
        return {member.name: member.content() for member in members}


def rewrite(path: Path, changes: Mapping[str, bytes | None]) -> Path:
    members = {**members_of(path), **changes}
    write_archive(path, {name: text for name, text in members.items() if text is not None}, compressed=False)
    return path


def test_an_artifact_is_read_as_it_was_written(artifact: Artifact, tmp_path: Path, scratch: Path) -> None:
    write_artifact(tmp_path / "a", artifact)

    found = read_package(tmp_path / "a", scratch)

    assert found == replace(artifact, code=scratch / "code-0.tar.gz")
    assert (scratch / "code-0.tar.gz").read_bytes() == b"code"


def test_the_standard_package_holds_numbered_entities_and_the_code_alone(
    artifact: Artifact, tmp_path: Path, scratch: Path
) -> None:
    write_standard(tmp_path / "flyte-package.tgz", artifact)

    names = list(members_of(tmp_path / "flyte-package.tgz"))
    found = read_package(tmp_path / "flyte-package.tgz", scratch)

    assert names == ["0_m.t_1.pb", "1_m.w_2.pb", "2_m.w_3.pb", "fastc13367945d5d4c91047b3b50234aa7ab.tar.gz"]
    assert found.entities == ENTITIES
    assert found.manifest is None


def test_entities_are_registered_in_the_order_of_their_numbers(tmp_path: Path, scratch: Path) -> None:
    tasks = tuple(entity(identifier_pb2.TASK, f"m.t{number}") for number in range(11))
    write_standard(tmp_path / "p.tgz", Artifact(entities=tasks, code=None))

    assert list(members_of(tmp_path / "p.tgz"))[:3] == ["00_m.t0_1.pb", "01_m.t1_1.pb", "02_m.t2_1.pb"]
    assert read_package(tmp_path / "p.tgz", scratch).entities == tasks


def test_a_changed_byte_is_found_wherever_it_is(artifact: Artifact, tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "a"
    write_artifact(path, artifact)
    whole = path.read_bytes()
    refused = 0

    for offset in range(0, len(whole), 97):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        for leftover in scratch.iterdir():
            leftover.unlink()
        try:
            found = read_package(path, scratch)
        except ArtifactError:
            refused += 1
        else:  # a byte between the members, which says nothing
            assert found == replace(artifact, code=scratch / "code-0.tar.gz")

    assert refused > 10


def test_an_artifact_that_is_cut_off_is_refused(artifact: Artifact, tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "a"
    write_artifact(path, artifact)
    whole = path.read_bytes()
    end_of_content = whole.rstrip(b"\0")

    for size in range(0, len(end_of_content), 512):
        path.write_bytes(whole[:size])
        for leftover in scratch.iterdir():
            leftover.unlink()
        with pytest.raises(ArtifactError):
            read_package(path, scratch)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({CONFIG: b"x: 2\n"}, "the checksum of config/config.yaml is another one"),
        ({CONFIG: None}, "files and checksums do not agree on config/config.yaml"),
        ({"entities/3_m.t_1.pb": b""}, "files and checksums do not agree on entities/3_m.t_1.pb"),
        ({"checksums.sha256": None}, "its last part, checksums.sha256, is missing"),
        ({"checksums.sha256": b"nonsense"}, "files and checksums do not agree"),
        ({"manifest.json": b"["}, "its manifest.json cannot be read"),
        ({"manifest.json": b"{}"}, "its manifest.json cannot be read"),
        ({"manifest.json": b"[]"}, "its manifest.json cannot be read"),
        ({"manifest.json": b"[" * 100_000}, "its manifest.json cannot be read"),
        ({"other/code-0.tar.gz": b""}, "other/code-0.tar.gz cannot be taken out of the archive: File exists"),
    ],
)
def test_a_damaged_artifact_says_what_is_damaged(
    artifact: Artifact, tmp_path: Path, scratch: Path, changes: dict[str, bytes | None], message: str
) -> None:
    write_artifact(tmp_path / "a", artifact)

    with pytest.raises(ArtifactError, match=message):
        read_package(rewrite(tmp_path / "a", changes), scratch)


def test_what_a_terminal_would_obey_is_not_shown(artifact: Artifact, tmp_path: Path, scratch: Path) -> None:
    manifest = replace(MANIFEST, version="v1\x1b[2J\rdelivered")
    write_artifact(tmp_path / "a", replace(artifact, manifest=manifest))

    with pytest.raises(ArtifactError, match=r"its manifest\.json has control characters in version"):
        read_package(tmp_path / "a", scratch)


def test_a_later_format_names_the_way_out(artifact: Artifact, tmp_path: Path, scratch: Path) -> None:
    write_artifact(tmp_path / "a", artifact)
    later = json.dumps({**json.loads(members_of(tmp_path / "a")["manifest.json"]), "format": 2}).encode()

    with pytest.raises(ArtifactError, match="is of format 2; this version of hydraflyte reads format 1") as caught:
        read_package(rewrite(tmp_path / "a", {"manifest.json": later}), scratch)

    assert "with the version of hydraflyte that wrote it" in caught.value.hint


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"readme.txt": b""}, "it has no manifest.json, and holds readme.txt"),
        ({"\x1b[2J": b""}, r"it holds '\\x1b\[2J'"),
        ({"a.tar.gz": b"", "b.tar.gz": b"", "0_m.t_1.pb": b""}, "holds several code bundles"),
        ({"a.tar.gz": b""}, "it holds no entities"),
        ({"0_m.t_1.pb": b"\xff\xff"}, "0_m.t_1.pb in the package cannot be parsed: it is no task of Flyte"),
        ({"0_m.t_1.pb": b""}, "0_m.t_1.pb in the package says that it is nothing"),
    ],
)
def test_other_archives_are_no_packages(tmp_path: Path, scratch: Path, members: dict[str, bytes], message: str) -> None:
    write_archive(tmp_path / "a", dict(members), compressed=False)

    with pytest.raises(ArtifactError, match=message):
        read_package(tmp_path / "a", scratch)

"""A code bundle from a blob store is unpacked with the mistrust that strangers deserve."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from hydraflyte.errors import ArtifactError
from hydraflyte.launcher.code.files import SourceTree, collect_files
from hydraflyte.launcher.package import build_bundle
from hydraflyte.launcher.reproduction.folder import unpack_code


def bundle(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b""))
    return path


def member(name: str, *, link: str | None = None) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    if link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, link
    return info


def test_our_own_bundles_are_unpacked_as_they_were(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "pkg").mkdir(parents=True)
    (source / "pkg" / "a.py").write_text("a = 1\n")
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    (source / "alias").symlink_to("pkg")
    archive = build_bundle(collect_files(SourceTree(source_root=source)), tmp_path / "bundles").path

    unpack_code(archive, tmp_path / "code")

    assert (tmp_path / "code" / "alias" / "a.py").read_text() == "a = 1\n"
    assert (tmp_path / "code" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "code" / "pkg" / "a.py").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("target", ["/etc", "..", "../../x", "a/../../x"])
def test_links_that_lead_out_are_refused(tmp_path: Path, target: str) -> None:
    archive = bundle(tmp_path / "b.tar.gz", member("link", link=target))

    with pytest.raises(ArtifactError, match="the link 'link' leads out of it"):
        unpack_code(archive, tmp_path / "code")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "code-parent").mkdir()
    archive = bundle(tmp_path / "b.tar.gz", member("link", link="pkg"), member("pkg/a"), member("link/b"))

    with pytest.raises(ArtifactError, match=r"'link/b' lies below a file|'link' is a link and a folder"):
        unpack_code(archive, tmp_path / "code")

    assert not (tmp_path / "code" / "pkg" / "b").exists()


def test_a_file_below_a_file_is_refused(tmp_path: Path) -> None:
    archive = bundle(tmp_path / "b.tar.gz", member("a"), member("a/b"))

    with pytest.raises(ArtifactError, match="'a/b' lies below a file"):
        unpack_code(archive, tmp_path / "code")

"""The archive has the same bytes for the same files, and nothing in it depends on when and where it was made."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from hydraflyte.errors import PackagingError
from hydraflyte.launcher.code.files import SourceTree, collect_files
from hydraflyte.launcher.package import CodeBundle, build_bundle


def write_project(root: Path) -> Path:
    (root / "pkg").mkdir(parents=True)
    (root / "train.py").write_text("print('hello')\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "pkg" / ("a" * 120 + ".py")).write_text("x = 1\n")
    (root / "pkg" / "empty.py").write_text("")
    (root / "pkg" / "ünï.txt").write_bytes(bytes(range(256)) * 1000)
    (root / "linked").symlink_to("pkg")
    return root


def bundle_of(root: Path, into: Path) -> CodeBundle:
    return build_bundle(collect_files(SourceTree(source_root=root)), into)


def test_two_copies_of_a_tree_give_the_same_bytes(tmp_path):
    first = write_project(tmp_path / "first")
    old_umask = os.umask(0o077)
    try:
        second = write_project(tmp_path / "somewhere/else/second")
    finally:
        os.umask(old_umask)
    for path in second.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)

    one, other = bundle_of(first, tmp_path / "a"), bundle_of(second, tmp_path / "b")

    assert one.path.read_bytes() == other.path.read_bytes()
    assert one.digest_md5 == other.digest_md5


def test_the_bytes_are_the_ones_that_every_release_must_make(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/train.py").write_text("print('hello')\n")

    bundle = bundle_of(tmp_path / "root", tmp_path / "out")

    assert bundle.digest_md5.hex() == "4741fee849329567f87353c3117b2e38"
    assert bundle.text == "1 file, 10 kB, 0 left out"


def test_the_digest_is_that_of_the_file_as_uploaded(tmp_path):
    bundle = bundle_of(write_project(tmp_path / "root"), tmp_path / "out")

    assert bundle.digest_md5 == hashlib.md5(bundle.path.read_bytes()).digest()
    assert bundle.size_bytes == bundle.path.stat().st_size
    assert bundle.path.name == f"code-{bundle.digest_md5.hex()}.tar.gz"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [bundle.path.name]
    assert bundle.file_count == 6
    assert bundle.biggest[0].name == "pkg/ünï.txt"


def test_tar_and_gzip_read_it(tmp_path):
    root = write_project(tmp_path / "root")
    bundle = bundle_of(root, tmp_path / "out")
    target = tmp_path / "unpacked"
    target.mkdir()

    subprocess.run(["tar", "-xvf", bundle.path, "-C", target], check=True, capture_output=True)  # as flytekit does

    assert gzip.decompress(bundle.path.read_bytes())
    assert (target / "pkg/ünï.txt").read_bytes() == (root / "pkg/ünï.txt").read_bytes()
    assert (target / "pkg" / ("a" * 120 + ".py")).read_text() == "x = 1\n"
    assert os.access(target / "run.sh", os.X_OK)
    assert not os.access(target / "train.py", os.X_OK)
    assert os.readlink(target / "linked") == "pkg"


def test_entries_carry_no_owner_and_no_time(tmp_path):
    bundle = bundle_of(write_project(tmp_path / "root"), tmp_path / "out")

    with tarfile.open(bundle.path) as archive:
        members = archive.getmembers()

    assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, "", "")}
    assert {member.mtime for member in members} == {315532800}
    assert {oct(member.mode) for member in members} == {"0o644", "0o755", "0o777"}


def test_building_it_again_changes_nothing(tmp_path):
    root = write_project(tmp_path / "root")

    first, second = bundle_of(root, tmp_path / "out"), bundle_of(root, tmp_path / "out")

    assert first.path == second.path
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_name_that_is_no_utf8_survives(tmp_path):
    (tmp_path / "root").mkdir()
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path / "root") + b"/caf\xe9.txt"))).write_text("x")
    except OSError:
        pytest.skip("the file system refuses such names")
    bundle = bundle_of(tmp_path / "root", tmp_path / "out")

    listed = subprocess.run(["tar", "-tf", bundle.path, "--quoting-style=literal"], check=True, capture_output=True)

    assert listed.stdout == b"caf\xe9.txt\n"


@pytest.mark.parametrize("text", ["print('HELLO')\n", "short", "print('hello')\nand more", ""])
def test_a_file_that_changes_after_it_was_collected_is_an_error_and_leaves_nothing_behind(tmp_path, text):
    root = write_project(tmp_path / "root")
    files = collect_files(SourceTree(source_root=root))
    (root / "train.py").write_text(text)

    with pytest.raises(PackagingError, match=r"train\.py changed while the code bundle was made"):
        build_bundle(files, tmp_path / "out")

    assert list((tmp_path / "out").iterdir()) == []


def test_a_text_that_grows_after_it_was_collected_is_taken_as_it_was(tmp_path):
    root = write_project(tmp_path / "root")
    (root / "run.txt").write_text("version 1\n")
    files = collect_files(SourceTree(source_root=root))
    with (root / "run.txt").open("a") as growing:
        growing.write("code bundle: 3 files\n")

    bundle = build_bundle(files, tmp_path / "out")

    with tarfile.open(bundle.path) as archive:
        assert archive.extractfile("run.txt").read() == b"version 1\n"


def test_a_file_that_vanishes_after_it_was_collected_is_an_error(tmp_path):
    root = write_project(tmp_path / "root")
    files = collect_files(SourceTree(source_root=root))
    (root / "train.py").unlink()

    with pytest.raises(PackagingError, match=r"train\.py belongs to the code bundle but cannot be read"):
        build_bundle(files, tmp_path / "out")


def test_a_tree_without_files_is_an_error(tmp_path):
    (tmp_path / "root").mkdir()

    with pytest.raises(PackagingError, match="No file below"):
        bundle_of(tmp_path / "root", tmp_path / "out")


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    root = write_project(tmp_path / "root")
    (tmp_path / "out").write_text("a file")

    with pytest.raises(PackagingError, match="The code bundle cannot be written to"):
        bundle_of(root, tmp_path / "out")

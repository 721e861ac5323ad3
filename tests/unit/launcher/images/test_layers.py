"""Layers are the same bytes for the same files, and hold what was hashed."""

import gzip
import io
import os
import tarfile

import pytest

from hydraflyte.errors import ImageError
from hydraflyte.launcher.code.files import SourceTree, collect_files
from hydraflyte.launcher.images.layers import Entry, code_entries, write_layer


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    (folder / "pkg").mkdir(parents=True)
    (folder / "train.py").write_text("print(1)\n")
    (folder / "pkg" / "run.sh").write_text("echo\n")
    (folder / "pkg" / "run.sh").chmod(0o775)
    (folder / "linked").symlink_to("pkg")
    return folder


def members(layer):
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.path.read_bytes()))) as archive:
        return archive.getmembers()


def layer_of(tree, into, folder="/app"):
    files = collect_files(SourceTree(source_root=tree))
    return write_layer(code_entries(files, folder), into, created_by="code")


def test_a_layer_holds_the_code_below_its_folder_and_no_folders(tree, tmp_path):
    found = members(layer_of(tree, tmp_path / "layer"))

    assert [(member.name, oct(member.mode), member.linkname) for member in found] == [
        ("app/linked", "0o777", "pkg"),
        ("app/pkg/run.sh", "0o755", ""),
        ("app/train.py", "0o644", ""),
    ]
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in found} == {(0, 0, 0, "")}


def test_the_same_files_give_the_same_bytes_whenever_and_whoever(tree, tmp_path):
    first = layer_of(tree, tmp_path / "first")
    os.utime(tree / "train.py", (1, 1))
    (tree / "train.py").chmod(0o600)

    second = layer_of(tree, tmp_path / "second")

    assert second.path.read_bytes() == first.path.read_bytes()
    assert first.diff_id == "sha256:1cc1915a39a84c0cad44513439117824c9b036123975b8ca83233a3c3d59f5df"


def test_a_file_that_changes_after_it_was_collected_is_refused(tree, tmp_path):
    files = collect_files(SourceTree(source_root=tree))
    (tree / "train.py").write_text("print(2)\n")

    with pytest.raises(ImageError, match=r"train\.py changed while the image's layer was made"):
        write_layer(code_entries(files, "/app"), tmp_path / "layer", created_by="code")


def test_entries_come_in_the_order_of_their_names(tmp_path):
    entries = [Entry(name=name, source=b"") for name in ("b", "a/c", "B", "a")]

    found = members(write_layer(entries, tmp_path / "layer", created_by="x"))

    assert [member.name for member in found] == ["B", "a", "a/c", "b"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_named_with_the_way_out(tree):
    from pathlib import Path

    files = collect_files(SourceTree(source_root=tree))

    with pytest.raises(ImageError, match=r"/dev/full cannot be written: No space left on device") as caught:
        write_layer(code_entries(files, "/app"), Path("/dev/full"), created_by="code")

    assert "TMPDIR" in caught.value.hint

"""Blobs: whole files or none, and no way out of the folder."""

import pytest
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Primitive, Scalar

from hydraflyte.backend.store.blobs import Blobs

FORTY_TWO = LiteralMap(literals={"o0": Literal(scalar=Scalar(primitive=Primitive(integer=42)))})


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs")


def test_a_literal_map_is_read_back(blobs):
    uri = f"{blobs.metadata_root}/propeller/p-d-e/n0/data/inputs.pb"

    blobs.write_literals(uri, FORTY_TWO)

    assert blobs.read_literals(uri) == FORTY_TWO


def test_a_missing_literal_map_reads_as_empty(blobs):
    assert blobs.read_literals(f"{blobs.root}/nothing.pb") == LiteralMap()


def test_the_folder_is_private(blobs):
    assert blobs.root.stat().st_mode & 0o777 == 0o700


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(blobs):
    path = blobs.root / "file"
    path.write_bytes(b"old")

    def write_half():
        with blobs.replacing(path) as file:
            file.write(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()

    assert path.read_bytes() == b"old"
    assert [entry.name for entry in blobs.root.iterdir()] == ["file"]


def test_an_upload_lies_below_its_project_and_domain(blobs):
    path = blobs.upload_path("flytesnacks", "development", "ABC======", "fast123.tar.gz")

    assert path == blobs.root / "uploads/flytesnacks/development/ABC======/fast123.tar.gz"


@pytest.mark.parametrize(
    ("root", "filename"),
    [
        ("..", "x"),
        ("a/../b", "x"),
        ("/etc", "passwd"),
        ("a", ".."),
        ("a", "/x"),
        ("", "x"),
        ("a", "x\0y"),
        ("a\\b", "x"),
    ],
)
def test_an_upload_cannot_leave_its_folder(blobs, root, filename):
    with pytest.raises(ValueError, match="cannot be part of an upload's path"):
        blobs.upload_path("flytesnacks", "development", root, filename)

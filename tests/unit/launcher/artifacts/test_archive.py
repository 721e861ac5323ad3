"""Archives that strangers wrote: each thing that no package needs is refused by name."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hydraflyte.errors import ArtifactError
from hydraflyte.launcher.artifacts.archive import Limits, opened, write_archive


def tar_of(*members: tarfile.TarInfo, content: bytes = b"") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def member(name: str, **attributes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def read(path: Path, limits: Limits | None = None) -> dict[str, bytes]:
    with opened(path, limits) as members:
        return {each.name: each.content() for each in members if not each.is_directory}


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[bytes], Path]:
    def store(content: bytes) -> Path:
        path = tmp_path / "archive"
        path.write_bytes(content)
        return path

    return store


@pytest.mark.parametrize("compressed", [False, True])
def test_what_is_written_is_read(tmp_path: Path, compressed: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"b" * 100_000)

    write_archive(tmp_path / "archive", {"x/a.pb": b"a", "b": file, "empty": b""}, compressed=compressed)

    assert read(tmp_path / "archive") == {"x/a.pb": b"a", "b": b"b" * 100_000, "empty": b""}


@pytest.mark.parametrize("compressed", [False, True])
def test_the_same_members_are_the_same_bytes(tmp_path: Path, compressed: bool) -> None:
    for name in ("first", "second"):
        write_archive(tmp_path / name, {"a": b"a"}, compressed=compressed)

    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(ArtifactError, match="folder cannot be written"):
        write_archive(tmp_path / "folder", {"a": b"a"}, compressed=False)

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="missing cannot be read: No such file"):
        read(tmp_path / "missing")


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "a//b", "a/./b", "back\\slash"])
def test_names_that_lead_elsewhere_are_refused(stored: Callable[[bytes], Path], name: str) -> None:
    with pytest.raises(ArtifactError, match=r"The archive is refused: .*(leads out of it|no name of a file)"):
        read(stored(tar_of(member(name))))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (b"Z", "neither file nor directory"),
    ],
)
def test_what_is_neither_file_nor_directory_is_refused(stored: Callable[[bytes], Path], kind: bytes, text: str) -> None:
    with pytest.raises(ArtifactError, match=f"'a' in it is {text}"):
        read(stored(tar_of(member("a", type=kind, linkname="b"))))


def test_a_name_that_comes_twice_is_refused(stored: Callable[[bytes], Path]) -> None:
    with pytest.raises(ArtifactError, match="'a' is in it twice"):
        read(stored(tar_of(member("a"), member("./a"))))


def test_too_many_members_are_refused(stored: Callable[[bytes], Path]) -> None:
    content = tar_of(*(member(str(number)) for number in range(4)))

    with pytest.raises(ArtifactError, match="more than 3 members"):
        read(stored(content), Limits(members=3))


def test_a_file_too_big_for_memory_is_refused_before_it_is_read(stored: Callable[[bytes], Path]) -> None:
    content = tar_of(member("a", size=100), content=b"x" * 100)

    with pytest.raises(ArtifactError, match="a in the archive has 100 bytes, more than 99"):
        read(stored(content), Limits(member_bytes=99))


def test_members_that_claim_too_much_are_refused(stored: Callable[[bytes], Path]) -> None:
    header = member("a", size=10**12).tobuf(tarfile.GNU_FORMAT)

    with pytest.raises(ArtifactError, match="its members claim more than"):
        read(stored(header + b"x" * 512))


def test_a_header_that_claims_a_gigabyte_is_refused_before_it_is_read(stored: Callable[[bytes], Path]) -> None:
    header = member("a", size=10**9, type=tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT)

    with pytest.raises(ArtifactError, match="a header in it claims 1000000"):
        read(stored(header))


def test_a_gzip_file_that_expands_a_hundredfold_is_refused(stored: Callable[[bytes], Path]) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    assert len(bomb) < 100_000

    with pytest.raises(ArtifactError, match="bytes expand to more than 16777216"):
        read(stored(bomb))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.7])
def test_an_archive_that_is_cut_off_says_so(tmp_path: Path, compressed: bool, share: float) -> None:
    path = tmp_path / "archive"
    write_archive(path, {"a": b"a" * 30_000}, compressed=compressed)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(ArtifactError, match="no tar file, damaged, or cut off"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b\x08hello", b"x" * 5000])
def test_what_is_no_archive_at_all_is_refused(stored: Callable[[bytes], Path], content: bytes) -> None:
    with pytest.raises(ArtifactError, match="is no tar file"):
        read(stored(content))


def test_an_archive_of_nothing_has_no_members(stored: Callable[[bytes], Path]) -> None:
    assert read(stored(bytes(10240))) == {}


def header(kind: bytes, content: bytes) -> bytes:
    """Return an extended header, which says something of the member after it."""
    info = member("header", type=kind, size=len(content))
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("place", ["first", "later"])
def test_a_chain_of_headers_is_refused(stored: Callable[[bytes], Path], kind: bytes, place: str) -> None:
    chain = header(kind, b"8 path=a\n" if kind != tarfile.GNUTYPE_LONGNAME else b"a\0") * 3000 + tar_of(member("b"))
    begin = member("a").tobuf(tarfile.GNU_FORMAT) if place == "later" else b""

    with pytest.raises(ArtifactError, match="no tar file"):
        read(stored(begin + chain))


def test_a_header_that_is_slow_to_be_looked_through_is_refused_before_it_is(stored: Callable[[bytes], Path]) -> None:
    with pytest.raises(ArtifactError, match="a header in it claims 1000448 bytes"):
        read(stored(header(tarfile.XHDTYPE, b"1" * 1_000_000) + tar_of(member("a"))))


def test_values_that_would_be_copied_for_each_member_are_refused(stored: Callable[[bytes], Path]) -> None:
    values = b"".join(b"10 k%03d=v\n" % number for number in range(101))

    with pytest.raises(ArtifactError, match="more than 100 global values"):
        read(stored(header(tarfile.XGLTYPE, values) + tar_of(member("a"))))

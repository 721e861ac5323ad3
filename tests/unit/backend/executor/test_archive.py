"""Unpacking a code bundle, whatever it tries."""

import io
import os
import tarfile

import pytest

from hydraflyte.backend.executor.zygote.archive import ArchiveError, Limits, unpack


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "area" / "work"
    folder.mkdir(parents=True)
    return folder


def file(name, content=b"x", **fields):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, content


def special(name, kind, linkname=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, linkname
    return member, b""


def bundle(tmp_path, *members, mode="w:gz", name="b.tar.gz"):
    path = tmp_path / name
    with tarfile.open(path, mode) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return str(path)


def outside(tmp_path, target):
    """Everything below the test's directory that is neither the bundle nor in the target."""
    found = [os.path.join(folder, name) for folder, _, names in os.walk(tmp_path) for name in names]
    return [path for path in found if not path.startswith(str(target)) and not path.endswith(".tar.gz")]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_plain_and_compressed_archives_are_unpacked_whatever_their_name(tmp_path, target, mode):
    archive = bundle(tmp_path, file("./pkg/mod.py", b"A = 1\n"), file("run.sh", mode=0o755), mode=mode)

    skipped = unpack(archive, str(target))

    assert skipped == []
    assert (target / "pkg" / "mod.py").read_bytes() == b"A = 1\n"
    assert os.access(target / "run.sh", os.X_OK)
    assert not os.access(target / "pkg" / "mod.py", os.X_OK)


def test_links_that_stay_inside_are_kept(tmp_path, target):
    archive = bundle(
        tmp_path,
        file("data/a.txt", b"A"),
        special("data/link", tarfile.SYMTYPE, "a.txt"),
        special("copy.txt", tarfile.LNKTYPE, "data/a.txt"),
    )

    assert unpack(archive, str(target)) == []
    assert (target / "data" / "link").read_text() == "A"
    assert (target / "copy.txt").read_text() == "A"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([file("/etc/evil")], "/etc/evil: absolute path"),
        ([file("../venv/bin/pyflyte")], "../venv/bin/pyflyte: path with .."),
        ([file("a/../../evil")], "a/../../evil: path with .."),
        ([special("l", tarfile.SYMTYPE, "/etc/passwd")], "l: link to the absolute path /etc/passwd"),
        ([special("l", tarfile.SYMTYPE, "../..")], "l: link to ../.., outside the bundle"),
        ([special("h", tarfile.LNKTYPE, "/etc/passwd")], "h: hard link to /etc/passwd, not in the bundle"),
        ([special("h", tarfile.LNKTYPE, "../../secret")], "h: hard link to ../../secret, not in the bundle"),
        ([special("null", tarfile.CHRTYPE)], "null: neither file, directory nor link"),
        ([special("pipe", tarfile.FIFOTYPE)], "pipe: neither file, directory nor link"),
    ],
)
def test_a_member_that_leads_out_is_skipped_and_named_and_the_rest_is_unpacked(tmp_path, target, members, reason):
    archive = bundle(tmp_path, *members, file("ok.py"))

    skipped = unpack(archive, str(target))

    assert skipped == [reason]
    assert os.listdir(target) == ["ok.py"]
    assert outside(tmp_path, target) == []


def test_a_file_below_a_link_that_was_bent_outwards_later_is_not_written(tmp_path, target):
    archive = bundle(
        tmp_path,
        special("a", tarfile.SYMTYPE, "x/y/../.."),
        special("x", tarfile.SYMTYPE, "."),
        special("y", tarfile.SYMTYPE, "."),
        file("a/evil"),
    )

    skipped = unpack(archive, str(target))

    assert skipped == ["a/evil: below a link that leaves the directory"]
    assert outside(tmp_path, target) == []


def test_a_file_replaces_a_link_of_the_same_name_instead_of_following_it(tmp_path, target):
    archive = bundle(tmp_path, file("a", b"A"), special("b", tarfile.SYMTYPE, "a"), file("b", b"B"))

    unpack(archive, str(target))

    assert ((target / "a").read_text(), (target / "b").read_text()) == ("A", "B")


def test_a_bundle_that_grows_too_large_is_refused(tmp_path, target):
    archive = bundle(tmp_path, file("a", b"0" * 600), file("b", b"0" * 600))

    with pytest.raises(ArchiveError, match="more than 1000 bytes"):
        unpack(archive, str(target), Limits(total_bytes=1000))


def test_a_bundle_with_too_many_members_is_refused(tmp_path, target):
    archive = bundle(tmp_path, file("a"), file("b"), file("c"))

    with pytest.raises(ArchiveError, match="more than 2 members"):
        unpack(archive, str(target), Limits(members=2))


def test_a_file_that_is_no_archive_is_refused(tmp_path, target):
    (tmp_path / "b.tar.gz").write_bytes(b"PK not a tar archive at all")

    with pytest.raises(ArchiveError, match="not a readable tar archive"):
        unpack(str(tmp_path / "b.tar.gz"), str(target))


def test_an_archive_that_is_cut_off_is_refused(tmp_path, target):
    archive = bundle(tmp_path, file("a", os.urandom(100_000)))
    with open(archive, "r+b") as handle:
        handle.truncate(50_000)

    with pytest.raises(ArchiveError, match="not a readable tar archive"):
        unpack(archive, str(target))


def test_a_bundle_that_does_not_exist_is_named(tmp_path, target):
    with pytest.raises(ArchiveError, match=r"missing\.tar\.gz does not exist"):
        unpack(str(tmp_path / "missing.tar.gz"), str(target))


@pytest.mark.parametrize(
    "odd",
    [
        {"pax_headers": {"path": "a\0b"}},
        {"pax_headers": {"mtime": "1e400"}},
        {"pax_headers": {"mtime": "nan"}},
        {"pax_headers": {"GNU.sparse.map": "0,1,x", "GNU.sparse.size": "9"}},
        {"pax_headers": {"path": "/".join(["d"] * 3000)}},
    ],
)
def test_a_member_that_no_file_system_takes_makes_the_bundle_unreadable(tmp_path, target, odd):
    archive = bundle(tmp_path, file("odd", **odd))

    with pytest.raises(ArchiveError, match="is not a readable tar archive"):
        unpack(archive, str(target))

    assert outside(tmp_path, target) == []

"""Which files become the bundle, and which pattern leaves the others out."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hydraflyte.errors import PackagingError
from hydraflyte.launcher.code.files import FileSet, SourceTree, collect_files, size_text


def write(root: Path, *names: str, **texts: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    for name, text in texts.items():
        (root / {"flyteignore": ".flyteignore", "gitignore": ".gitignore"}[name]).write_text(text)
    return root


def collect(root: Path, **settings) -> FileSet:
    return collect_files(SourceTree(source_root=root, **settings))


def names(files: FileSet) -> list[str]:
    return [file.name for file in files.files]


def reasons(files: FileSet) -> dict[str, str]:
    return {path.name: path.rule.pattern for path in files.ignored}


def test_files_come_in_the_order_of_their_names_bytes(tmp_path):
    write(tmp_path, "b.py", "a/z.py", "a.py", "ä.py", "B.py")

    assert names(collect(tmp_path)) == ["B.py", "a.py", "a/z.py", "b.py", "ä.py"]


def test_environments_caches_and_earlier_results_are_left_out_by_default(tmp_path):
    write(
        tmp_path,
        "train.py", "conf/config.yaml",
        ".git/HEAD", ".venv/x", "my env/pyvenv.cfg", "my env/lib/x.py", "conda/conda-meta/history",
        "__pycache__/train.pyc", "pkg/__pycache__/x.pyc", "stray.pyc", ".mypy_cache/x", "pkg.egg-info/PKG-INFO",
        "outputs/2026/x", "multirun/2026/x", "pkg/outputs/x", ".hydra/config.yaml", "runs/7/.hydra/config.yaml",
        "runs/7/model.bin", "sweep-3/.sweep.lock", "sweep-3/0/x", "train.log", ".env", "build/lib/x.py",
        "multirun.yaml", "train.artifact", "flyte-package.tgz",
        "deep/.hydraflyte/backend.lock", "deep/.hydraflyte/token", "deep/.hydraflyte/blobs/x",
    )  # fmt: skip

    files = collect(tmp_path)

    assert names(files) == ["conf/config.yaml", "train.py"]
    assert reasons(files)["my env"] == "a Python environment"
    assert reasons(files)["runs/7"] == "the output folder of a Hydra job"
    assert reasons(files)["outputs"] == "outputs/"
    assert reasons(files)["deep/.hydraflyte"] == "the home of a backend"


def test_the_home_of_a_backend_with_its_key_is_no_source_root(tmp_path):
    write(tmp_path, "train.py", "backend.lock", "token")

    with pytest.raises(PackagingError, match="is the home of a backend, with its key"):
        collect(tmp_path)


def test_packages_that_are_named_like_results_stay(tmp_path):
    write(tmp_path, "outputs/__init__.py", "pkg/build/x.py", "pkg/data/x.py", "data/x.csv")

    assert names(collect(tmp_path)) == ["data/x.csv", "outputs/__init__.py", "pkg/build/x.py", "pkg/data/x.py"]


def test_gitignore_files_hold_below_their_directory(tmp_path):
    write(tmp_path, "a.csv", "sub/a.csv", "sub/b.txt", "b.txt", gitignore="*.csv\n")
    (tmp_path / "sub/.gitignore").write_text("b.txt\n!a.csv\n")

    files = collect(tmp_path)

    assert names(files) == [".gitignore", "b.txt", "sub/.gitignore", "sub/a.csv"]
    assert {path.name: path.rule.origin for path in files.ignored} == {
        "a.csv": ".gitignore",
        "sub/b.txt": "sub/.gitignore",
    }


def test_flyteignore_wins_over_gitignore_and_defaults(tmp_path):
    write(
        tmp_path,
        "weights.bin", "notes.txt", "train.log", "train.py",
        gitignore="*.bin\n", flyteignore="!weights.bin\n!train.log\nnotes.txt\n",
    )  # fmt: skip

    assert names(collect(tmp_path)) == [".flyteignore", ".gitignore", "train.log", "train.py", "weights.bin"]


def test_a_negated_path_is_taken_out_of_an_ignored_directory_and_nothing_else_with_it(tmp_path):
    write(
        tmp_path,
        "outputs/best/model.bin", "outputs/best/other.bin", "outputs/more/x",
        "runs/1/.hydra/x", "runs/1/keep.txt", "runs/1/drop.txt",
        flyteignore="!outputs/best/model.bin\n!/runs/1/keep.txt\n",
    )  # fmt: skip

    assert names(collect(tmp_path)) == [".flyteignore", "outputs/best/model.bin", "runs/1/keep.txt"]


def test_a_negated_directory_is_taken_with_all_its_files(tmp_path):
    write(tmp_path, "outputs/best/a.bin", "outputs/best/deep/b.bin", "outputs/x", flyteignore="!outputs/best/\n")

    assert names(collect(tmp_path)) == [".flyteignore", "outputs/best/a.bin", "outputs/best/deep/b.bin"]


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("!outputs/best/*.bin", ["outputs/best/a.bin"]),
        ("!outputs/**/a.bin", ["outputs/a.bin", "outputs/best/a.bin"]),
        ("!outputs/*/notes/", ["outputs/best/notes/x"]),
        ("!*.bin", []),
        ("!outputs/", ["outputs/a.bin", "outputs/best/a.bin", "outputs/best/notes/x", "outputs/best/x"]),
    ],
)
def test_a_negated_pattern_takes_what_it_means_out_of_an_ignored_directory(tmp_path, pattern, kept):
    write(tmp_path, "outputs/best/a.bin", "outputs/best/x", "outputs/best/notes/x", "outputs/a.bin")
    write(tmp_path, flyteignore=pattern + "\n")

    assert names(collect(tmp_path)) == [".flyteignore", *kept]


def test_ignore_files_above_the_root_hold_up_to_the_top_of_the_repository(tmp_path):
    write(tmp_path, "repo/.git/HEAD", "repo/src/a.csv", "repo/src/b.tmp", "repo/src/c.py", "repo/src/deep/d.py")
    (tmp_path / ".gitignore").write_text("*.py\n")
    (tmp_path / "repo/.gitignore").write_text("*.csv\n/src/deep\n")
    (tmp_path / "repo/.flyteignore").write_text("*.tmp\n")

    assert names(collect(tmp_path / "repo/src")) == ["c.py"]


def test_another_ignore_file_can_be_named_by_path(tmp_path):
    write(tmp_path / "root", "a.py", "b.py", ".flyteignore")
    (tmp_path / "rules").write_text("b.py\n")

    files = collect_files(SourceTree(source_root=tmp_path / "root"), [str(tmp_path / "rules")])

    assert names(files) == [".flyteignore", "a.py"]


def test_a_named_ignore_file_that_does_not_exist_is_an_error(tmp_path):
    write(tmp_path, "a.py")

    with pytest.raises(PackagingError, match=r"The ignore file .*/rules cannot be read") as caught:
        collect_files(SourceTree(source_root=tmp_path), ["conf/rules"])

    assert "hydra.launcher.workflow.ignore" in caught.value.hint


def test_links_to_files_become_files_and_links_to_inner_directories_stay_links(tmp_path):
    root = write(tmp_path / "root", "pkg/a.py", "conf/b.yaml")
    write(tmp_path, "outside/c.yaml")
    (root / "inner.py").symlink_to("pkg/a.py")
    (root / "outer.yaml").symlink_to(tmp_path / "outside/c.yaml")
    (root / "conf/linked").symlink_to(root / "pkg")
    (root / "elsewhere").symlink_to(tmp_path / "outside")
    (root / "dangling").symlink_to("nothing")
    (root / "loop").symlink_to(".")
    write(root, "outputs/x")
    (root / "latest").symlink_to("outputs")

    files = collect(root)

    assert names(files) == ["conf/b.yaml", "conf/linked", "inner.py", "loop", "outer.yaml", "pkg/a.py"]
    links = {file.name: file.link_target for file in files.files if file.link_target}
    assert links == {"conf/linked": "../pkg", "loop": "."}
    assert reasons(files) == {
        "dangling": "a link to nothing",
        "elsewhere": "a link to a directory outside the source root",
        "latest": "a link to a directory that is left out",
        "outputs": "outputs/",
    }


def test_sockets_and_pipes_are_left_out(tmp_path, monkeypatch):
    write(tmp_path, "a.py")
    monkeypatch.chdir(tmp_path)  # a socket's path is limited to about 100 characters
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket")
    listener.close()
    os.mkfifo(tmp_path / "pipe")

    files = collect(tmp_path)

    assert names(files) == ["a.py"]
    assert reasons(files) == {"pipe": "a socket, pipe or device", "socket": "a socket, pipe or device"}


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path):
    write(tmp_path, "train.py", "secret.txt")
    (tmp_path / "secret.txt").chmod(0)

    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from hydraflyte.launcher.code.files import SourceTree, collect_files\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"  # root may read everything
        "collect_files(SourceTree(source_root=Path(sys.argv[1])))\n"
    )
    for directory in [tmp_path, *tmp_path.parents]:
        if directory.stat().st_uid == os.geteuid() and directory.name.startswith(("pytest", "popen-", "test_")):
            directory.chmod(0o755)
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)

    assert "PackagingError" in ended.stderr
    assert "secret.txt belongs to the code bundle but cannot be read: Permission denied." in ended.stderr
    assert "add the line /secret.txt to .flyteignore" in ended.stderr


def test_names_that_are_no_utf8_are_kept(tmp_path):
    if sys.platform == "darwin":
        pytest.skip("the file system refuses such names")
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.txt")
    with open(path, "wb") as file:
        file.write(b"x")

    (found,) = collect(tmp_path).files

    assert os.fsencode(found.name) == b"caf\xe9.txt"


def test_the_digest_depends_on_names_contents_and_executability_alone(tmp_path):
    first = write(tmp_path / "first", "a.py", "pkg/b.py")
    second = write(tmp_path / "second", "pkg/b.py", "a.py")
    os.utime(second / "a.py", (1, 1))
    (second / "a.py").chmod(0o600)

    assert collect(first).digest == collect(second).digest

    (second / "a.py").chmod(0o744)
    executable = collect(second).digest
    (second / "a.py").rename(second / "c.py")
    renamed = collect(second).digest
    (second / "c.py").write_text("other")

    assert len({collect(first).digest, executable, renamed, collect(second).digest}) == 4


def test_an_init_file_at_the_top_is_left_out_because_it_would_change_flytekits_names(tmp_path):
    write(tmp_path, "__init__.py", "train.py", "pkg/__init__.py")

    assert names(collect(tmp_path)) == ["pkg/__init__.py", "train.py"]


@pytest.mark.parametrize("make_root", [lambda _: Path("/"), lambda _: Path.home(), lambda tmp: tmp / "site-packages"])
def test_roots_that_hold_far_more_than_a_project_are_refused(tmp_path, make_root):
    (tmp_path / "site-packages").mkdir()

    with pytest.raises(PackagingError, match="holds far more than this project's code"):
        collect(make_root(tmp_path))


def test_chosen_files_are_all_that_is_taken(tmp_path):
    root = write(tmp_path / "site-packages", "train.py", "other.py", "pkg/__init__.py", "pkg/a.py", "conf/x.yaml")

    files = collect(root, chosen_files=(root / "train.py", root / "pkg"))

    assert names(files) == ["pkg/__init__.py", "pkg/a.py", "train.py"]


def test_extra_modules_are_added_under_their_names(tmp_path):
    root = write(tmp_path / "root", "train.py", "src/inner/a.py")
    write(tmp_path, "libs/outer/__init__.py", "libs/outer/x.pyc", "libs/single.py", "libs/ns/deep/b.py")

    files = collect(
        root,
        extra_modules={
            "inner": root / "src/inner",
            "outer": tmp_path / "libs/outer",
            "single": tmp_path / "libs/single.py",
            "ns.deep": tmp_path / "libs/ns/deep",
        },
    )

    assert names(files) == [
        "inner", "ns/deep/b.py", "outer/__init__.py", "single.py", "src/inner/a.py", "train.py",
    ]  # fmt: skip
    assert files.files[0].link_target == "src/inner"


def test_an_extra_module_that_the_root_has_already_is_an_error(tmp_path):
    root = write(tmp_path / "root", "lib/x.py")
    write(tmp_path, "elsewhere/lib/__init__.py")

    with pytest.raises(PackagingError, match=r"The code imports lib from .*, but the source root .* has another lib\."):
        collect(root, extra_modules={"lib": tmp_path / "elsewhere/lib"})


def test_a_big_tree_is_reported_with_its_biggest_files(tmp_path, caplog):
    write(tmp_path, "train.py")
    for number in range(6):
        with open(tmp_path / f"data{number}.bin", "wb") as file:
            file.truncate((number + 1) * 1024 * 1024)

    with caplog.at_level(logging.WARNING):
        files = collect(tmp_path)

    assert [file.name for file in files.biggest()] == [f"data{number}.bin" for number in (5, 4, 3, 2, 1)]
    (record,) = caplog.records
    assert record.getMessage().startswith("The code bundle holds 21.0 MB in 7 files; the biggest: data5.bin (6.0 MB),")


def test_a_tree_over_the_limit_is_refused_before_anything_is_read(tmp_path):
    with open(tmp_path / "data.bin", "wb") as file:
        file.truncate(3 * 1024**4)  # a sparse file: reading it would take hours

    with pytest.raises(PackagingError, match=r"would hold 3145728\.0 MB in 1 files; the biggest: data\.bin") as caught:
        collect(tmp_path)

    assert ".flyteignore" in caught.value.hint


@pytest.mark.parametrize(("size", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 kB"), (10_240, "10 kB")])
def test_small_sizes_are_told_in_bytes(size: int, text: str) -> None:
    assert size_text(size) == text

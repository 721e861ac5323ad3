"""The version that a tree gets, in real git repositories."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hydraflyte.errors import VersionError
from hydraflyte.launcher.code.files import SourceTree, collect_files
from hydraflyte.launcher.code.git import NoGit, read_state
from hydraflyte.launcher.version import Version, resolve_version


class Repository:
    """A git repository below ``tmp_path`` with one commit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.invalid", "-c", "protocol.file.allow=always"]
        ended = subprocess.run([*command, *arguments], cwd=self.root, check=True, capture_output=True, text=True)
        return ended.stdout.strip()

    def write(self, name: str, text: str = "text") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "message")
        return self.head()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")[:12]

    def version(self, below: str = ".", **settings) -> Version:
        root = self.root / below
        files = collect_files(SourceTree(source_root=root))
        return resolve_version(given=None, source_root=root, files=files, **settings)


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository")
    repository.git("init", "-q", "-b", "main")
    repository.write("train.py")
    repository.write("pkg/a.py")
    repository.write(".gitignore", "*.csv\n")
    repository.commit()
    return repository


def test_a_clean_tree_gives_exactly_branch_and_commit(repository):
    version = repository.version(content_key="image=a:1")

    assert version.text == f"main-{repository.head()}"
    assert version.reason == (
        f"from git: branch main at {repository.head()}, nothing uncommitted among the bundled files"
    )
    assert version.provenance.commit == repository.git("rev-parse", "HEAD")
    assert version.provenance.uncommitted == ()


def test_what_is_not_bundled_does_not_count(repository):
    repository.write("outputs/today/result.txt")
    repository.write("data.csv")
    repository.write("train.log")
    os.utime(repository.root / "train.py", (1, 1))

    assert repository.version().text == f"main-{repository.head()}"


def test_a_change_outside_the_source_root_does_not_count(repository):
    repository.write("train.py", "changed")

    assert repository.version("pkg").text == f"main-{repository.head()}"


def test_an_uncommitted_change_adds_a_hash_of_the_content(repository):
    repository.write("train.py", "changed")

    version = repository.version()

    assert re.fullmatch(rf"main-{repository.head()}-dirty-[0-9a-f]{{12}}", version.text)
    assert version.provenance.uncommitted == ("train.py",)
    assert "-text\n" in version.provenance.diff
    assert "+changed\n" in version.provenance.diff


def test_the_same_change_gives_the_same_version_wherever_and_however_it_was_made(repository, tmp_path):
    clone = Repository(tmp_path / "clone")
    clone.git("clone", "-q", str(repository.root), ".")
    for one in (repository, clone):
        one.write("train.py", "changed")
        one.write("new.py")
    clone.git("add", "-A")

    assert repository.version().text == clone.version().text


@pytest.mark.parametrize(
    "change",
    [
        lambda repository: repository.write("new.py"),
        lambda repository: (repository.root / "pkg/a.py").unlink(),
        lambda repository: (repository.root / "train.py").chmod(0o755),
        lambda repository: repository.git("mv", "train.py", "renamed.py"),
        lambda repository: repository.write(".flyteignore", "!data.csv\n") or repository.write("data.csv"),
    ],
)
def test_each_kind_of_change_makes_another_version_and_taking_it_back_does_not(repository, change):
    clean = repository.version().text

    change(repository)
    changed = repository.version().text
    repository.git("reset", "-q", "--hard")
    repository.git("clean", "-qfdx")

    assert changed != clean
    assert "-dirty-" in changed
    assert repository.version().text == clean


def test_a_change_that_was_staged_and_taken_back_is_clean(repository):
    repository.write("train.py", "changed")
    repository.git("add", "-A")
    repository.write("train.py")

    assert repository.version().text == f"main-{repository.head()}"


def test_settings_show_in_the_version_of_a_dirty_tree_and_qualify_that_of_a_clean_one(repository):
    one, other = (repository.version(content_key=key) for key in ("image=a:1", "image=a:2"))

    assert one.text == other.text
    assert one.qualified != other.qualified
    assert re.fullmatch(rf"main-{repository.head()}-[0-9a-f]{{12}}", one.qualified)

    repository.write("train.py", "changed")
    one, other = (repository.version(content_key=key) for key in ("image=a:1", "image=a:2"))

    assert one.text != other.text
    assert one.qualified == one.text


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        ("feature/new-thing", "feature-new-thing"),
        ("fix/über_#1", "fix-ber_-1"),
        ("日本", "git"),
        ("x" * 200, "x" * 64),
        ("v1.0.x", "v1.0.x"),
    ],
)
def test_branch_names_become_safe(repository, branch, expected):
    repository.git("checkout", "-q", "-b", branch)

    version = repository.version()

    assert version.text == f"{expected}-{repository.head()}"
    assert version.provenance.branch == branch
    assert len(version.text) <= 128


def test_a_detached_head_is_named_after_its_tag(repository):
    repository.git("checkout", "-q", "--detach")

    assert repository.version().text == f"detached-{repository.head()}"

    repository.git("tag", "v1.2/rc")
    version = repository.version()

    assert version.text == f"v1.2-rc-{repository.head()}"
    assert version.reason.startswith(f"from git: detached HEAD at {repository.head()} (tag v1.2/rc),")


def test_a_shallow_clone_and_a_worktree_give_the_same_version_as_the_repository(repository, tmp_path):
    repository.write("train.py", "second")
    repository.commit()
    shallow = Repository(tmp_path / "shallow")
    shallow.git("clone", "-q", "--depth", "1", f"file://{repository.root}", ".")
    worktree = Repository(tmp_path / "worktree")
    repository.git("worktree", "add", "-q", str(worktree.root), "-b", "side")

    assert shallow.version().text == repository.version().text
    assert worktree.version().text == f"side-{repository.head()}"


def test_a_submodule_is_clean_until_something_in_it_changes(repository, tmp_path):
    library = Repository(tmp_path / "library")
    library.git("init", "-q", "-b", "trunk")
    library.write("lib.py")
    library.commit()
    repository.git("submodule", "--quiet", "add", str(library.root), "vendored")
    repository.commit()

    clean = repository.version()
    inside = repository.version("vendored")
    repository.write("vendored/lib.py", "changed")
    changed = repository.version()

    assert clean.text == f"main-{repository.head()}"
    assert inside.text == f"trunk-{library.head()}"
    assert changed.provenance.uncommitted == ("vendored/lib.py",)


def test_names_that_are_no_utf8_are_hashed_too(repository):
    with open(os.path.join(os.fsencode(repository.root), b"caf\xe9.py"), "wb") as file:
        file.write(b"x")

    version = repository.version()

    assert [os.fsencode(name) for name in version.provenance.uncommitted] == [b"caf\xe9.py"]


def test_variables_of_an_outer_git_do_not_mislead(repository, tmp_path, monkeypatch):
    other = Repository(tmp_path / "other")
    other.git("init", "-q")
    expected = repository.version().text
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))

    assert repository.version().text == expected


def test_a_locked_index_does_not_matter(repository):
    (repository.root / ".git/index.lock").write_text("")
    os.utime(repository.root / "train.py", (1, 1))

    assert repository.version().text == f"main-{repository.head()}"


def test_programs_that_the_repository_names_are_not_started(repository):
    for name in ("diff.external", "core.fsmonitor", "core.pager"):
        repository.git("config", name, f"touch {repository.root}/started")
    repository.write("train.py", "changed")

    repository.version()

    assert not (repository.root / "started").exists()


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda tree: None, "the source root is in no git repository"),
        (lambda tree: tree.git("init", "-q"), "the git repository has no commit yet"),
    ],
)
def test_without_a_commit_the_content_decides(tmp_path, prepare, reason):
    tree = Repository(tmp_path / "tree")
    prepare(tree)
    tree.write("train.py")

    version = tree.version()
    again = tree.version()
    with_settings = tree.version(content_key="image=a:2")
    tree.write("train.py", "changed")

    assert re.fullmatch("content-[0-9a-f]{12}", version.text)
    assert version.reason == f"from the bundled files' content, because {reason}"
    assert again.text == version.text
    assert len({version.text, with_settings.text, tree.version().text}) == 3


def test_without_git_the_content_decides(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert repository.version().reason == "from the bundled files' content, because git is not installed"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_repository_of_another_user_is_not_trusted(repository):
    for path in [repository.root, *repository.root.rglob("*")]:
        os.chown(path, 12345, 12345)

    version = repository.version()

    assert version.text.startswith("content-")
    assert "git refused: detected dubious ownership" in version.reason


def test_a_git_that_does_not_answer_is_given_up(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "git").write_text(f"#!/bin/sh\nexec {shutil.which('sleep')} 60\n")
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))

    state = read_state(tmp_path, timeout_s=0.2)

    assert state == NoGit(reason="git did not answer within 0.2 s")


def test_a_given_version_is_used_as_it_is(repository):
    version = resolve_version(given="v1.2.3+gpu", source_root=repository.root, files=None, content_key="image=a:1")

    assert (version.text, version.qualified) == ("v1.2.3+gpu", "v1.2.3+gpu")
    assert version.reason == "given by workflow.version"


@pytest.mark.parametrize("given", ["", "with space", "a/b", "-x", "x" * 129, "ü"])
def test_a_given_version_that_flyte_cannot_take_is_an_error(repository, given):
    with pytest.raises(VersionError, match="cannot be a Flyte version"):
        resolve_version(given=given, source_root=repository.root, files=None)


def test_without_git_and_without_a_bundle_there_is_no_version(tmp_path):
    with pytest.raises(VersionError, match="No version can be derived: the source root is in no git repository"):
        resolve_version(given=None, source_root=tmp_path, files=None)

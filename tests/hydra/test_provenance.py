"""Where code and calls come from: stored with the registration, shown on every execution, and required where asked."""

from __future__ import annotations

import getpass
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.hydra.programs import NO_YAML, run_program, write_program

from hydraflyte.home import RunningBackend

pytestmark = pytest.mark.usefixtures("flyte_backend")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a lock file and an uncommitted change, launched once with a secret on the command line."""
    folder = tmp_path_factory.mktemp("clone")
    write_program(folder, f"{NO_YAML}\n# of {folder}\n")
    (folder / "uv.lock").write_text("locked")
    (folder / ".flyteignore").write_text("private.txt\n")
    (folder / "private.txt").write_text("before")
    git(folder, "init", "-q", "-b", "topic/x")
    git(folder, "remote", "add", "origin", "https://me:hunter2@example.org/team/x.git")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "message")
    (folder / "program.py").write_text((folder / "program.py").read_text() + "# changed\n")
    (folder / "private.txt").write_text("not for others")
    return folder


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.invalid"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def show(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "hydraflyte", "executions", "show", name, "--json"]
    shown: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return shown


def execution_of(output: str) -> str:
    return output.split("submitted: ")[1].split()[0].rpartition("/")[2]


@pytest.fixture(scope="module")
def provenance(repository: Path, flyte_backend: RunningBackend) -> dict[str, str]:
    result = run_program(repository / "program.py", "-m", "+x=3", "+hydra.job.env_set.MY_TOKEN=hunter2")
    assert result.returncode == 0, result.stdout + result.stderr
    notes: dict[str, str] = show(execution_of(result.stdout))["provenance"]
    return notes


def test_an_execution_shows_the_commit_the_change_and_the_lock_file(
    repository: Path, provenance: dict[str, str]
) -> None:
    assert provenance["git-remote"] == "https://example.org/team/x.git"
    assert provenance["git-commit"] == git(repository, "rev-parse", "HEAD")
    assert provenance["git-branch"] == "topic/x"
    assert provenance["git-uncommitted"] == "1: program.py"
    assert provenance["lock-file"].startswith("uv.lock sha256:")


def test_an_execution_shows_who_launched_it_where_how_and_with_what(provenance: dict[str, str]) -> None:
    assert provenance["user"] == getpass.getuser()
    assert provenance["host"] == platform.node()
    assert f"python {platform.python_version()}, flytekit 1.16." in provenance["versions"]
    assert provenance["command-line"].endswith("program.py -m +x=3 +hydra.job.env_set.MY_TOKEN=***")
    assert provenance["overrides"] == "+x=3"


def test_the_diff_of_the_bundled_files_and_their_digests_are_stored_with_the_registration(
    provenance: dict[str, str],
) -> None:
    document = json.loads(Path(provenance["provenance"]).read_text())

    assert "+# changed" in document["git"]["diff"]
    assert "not for others" not in json.dumps(document)
    assert "hunter2" not in json.dumps(document)
    assert set(document["files"]) >= {"program.py", "uv.lock"}
    assert document["git"]["uncommitted"] == ["program.py"]


def test_a_later_launch_of_the_same_code_shows_the_same_origin(repository: Path, provenance: dict[str, str]) -> None:
    result = run_program(repository / "program.py", "-m", "+x=4")

    later = show(execution_of(result.stdout))["provenance"]
    assert "is registered already" in result.stdout
    assert {key: later[key] for key in ("git-commit", "git-uncommitted", "provenance", "code-digest")} == {
        key: provenance[key] for key in ("git-commit", "git-uncommitted", "provenance", "code-digest")
    }
    assert later["command-line"].endswith("program.py -m +x=4")


def test_a_version_says_branch_commit_and_change_and_on_a_detached_head_the_tag(repository: Path) -> None:
    commit = git(repository, "rev-parse", "--short=12", "HEAD")

    on_a_branch = run_program(repository / "program.py", "-m", "+x=3", "hydra.launcher.dry_run=true")
    git(repository, "stash", "-q")
    git(repository, "checkout", "-q", "--detach")
    git(repository, "tag", "v1.2")
    detached = run_program(repository / "program.py", "-m", "+x=3", "hydra.launcher.dry_run=true")
    git(repository, "checkout", "-q", "topic/x")
    git(repository, "stash", "pop", "-q")

    assert f"version: topic-x-{commit}-dirty-" in on_a_branch.stdout
    assert f"version: v1.2-{commit} (from git: detached HEAD at {commit} (tag v1.2)" in detached.stdout


def test_a_domain_that_takes_only_committed_code_names_every_other_file(repository: Path) -> None:
    settings = ("hydra.launcher.workflow.require_clean=[production]", "hydra.launcher.workflow.domain=production")

    result = run_program(repository / "program.py", "-m", "+x=1", *settings)

    assert result.returncode == 1
    assert "The domain production takes only committed code" in result.stderr
    assert "  - program.py" in result.stderr
    assert "code bundle:" not in result.stdout


def test_other_domains_take_what_is_there(repository: Path) -> None:
    result = run_program(repository / "program.py", "-m", "+x=1", "hydra.launcher.workflow.require_clean=[production]")

    assert result.returncode == 0


def test_a_misspelt_domain_does_not_take_the_guard_away(repository: Path) -> None:
    result = run_program(repository / "program.py", "-m", "+x=1", "hydra.launcher.workflow.require_clean=[prodution]")

    assert result.returncode == 1
    assert "require_clean names 'prodution', which is no domain of this backend" in result.stderr
    assert "did you mean production?" in result.stderr


def test_code_outside_git_is_not_committed(tmp_path: Path) -> None:
    program = write_program(tmp_path, f"{NO_YAML}\n# of {tmp_path}\n")
    settings = ("hydra.launcher.workflow.require_clean=[development]", "hydra.launcher.workflow.version=v1")
    environ = {"GIT_CEILING_DIRECTORIES": os.fspath(tmp_path.parent)}

    result = run_program(program, "-m", "+x=1", *settings, environ=environ)

    assert result.returncode == 1
    assert "this code is in no git repository with a commit" in result.stderr

"""Secrets at rest, and the command line that keeps them."""

import doctest
import io
import stat
import sys
from pathlib import Path

import pytest
from flyteidl.core.security_pb2 import Secret
from flyteidl.core.tasks_pb2 import TaskTemplate

from hydraflyte import secret_files
from hydraflyte.backend.executor.mounts import Mounts, unmount
from hydraflyte.cli.main import main
from hydraflyte.errors import ConfigError
from hydraflyte.secret_files import SecretFiles, SecretName

PASSWORD = SecretName(group="db", key="password")


@pytest.fixture
def files(tmp_path):
    return SecretFiles(tmp_path / "secrets")


def run(monkeypatch, *arguments, value=b""):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(value)))
    return main(["secrets", *arguments])


def asking(*secrets):
    task = TaskTemplate()
    task.security_context.secrets.extend(secrets)
    return task


def test_the_example_is_true():
    assert doctest.testmod(secret_files).failed == 0


def test_a_secret_is_read_back_whatever_the_case_of_its_name_and_is_private(files, tmp_path):
    files.set(SecretName(group="DB", key="Password"), b"one")
    files.set(PASSWORD, b"two\n\xff")

    kept = tmp_path / "secrets" / "db" / "password"
    assert files.read(PASSWORD) == b"two\n\xff"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == stat.S_IMODE(kept.parent.parent.stat().st_mode) == 0o700


def test_versions_of_a_group_stand_beside_its_keys(files):
    versioned = SecretName(group="db", key="password", version="v2")
    files.set(PASSWORD, b"1")
    files.set(versioned, b"2")

    assert files.names() == sorted([PASSWORD, versioned])
    assert files.delete(versioned)
    assert not files.delete(versioned)
    assert files.names() == [PASSWORD]


@pytest.mark.parametrize("name", [("", "k"), ("g", ""), ("..", "k"), ("g", "../x"), ("g/h", "k"), ("g", ".partial-x")])
def test_a_name_that_leads_elsewhere_is_refused_and_never_read(files, name):
    refused = SecretName(group=name[0], key=name[1])

    with pytest.raises(ConfigError, match="cannot name a secret"):
        files.set(refused, b"x")
    assert files.read(refused) is None


@pytest.mark.parametrize("value", [b"", b"x" * (secret_files.MOST_BYTES + 1)])
def test_an_empty_or_huge_value_is_refused(files, value):
    with pytest.raises(ConfigError, match="bytes"):
        files.set(PASSWORD, value)


def test_a_key_and_a_version_cannot_share_a_name(files):
    files.set(PASSWORD, b"x")

    with pytest.raises(ConfigError, match="would have the same name"):
        files.set(SecretName(group="db", key="k", version="password"), b"y")


def test_the_command_line_keeps_lists_and_deletes_and_never_shows_a_value(monkeypatch, capsys, tmp_path):
    home = ["--home", str(tmp_path / "home")]
    assert run(monkeypatch, "set", "db", "password", *home, value=b"hush\n") == 0
    assert run(monkeypatch, "set", "db", "cert", *home, value=b"a\nb\n") == 0
    assert run(monkeypatch, "list", *home) == 0
    assert run(monkeypatch, "delete", "db", "cert", *home) == 0
    assert run(monkeypatch, "delete", "db", "cert", *home) == 1

    shown = capsys.readouterr()
    files = SecretFiles(tmp_path / "home" / "secrets")
    assert files.read(PASSWORD) == b"hush"
    assert files.read(SecretName(group="db", key="cert")) is None
    assert "db cert\ndb password\n" in shown.out
    assert "There is no secret db/cert" in shown.err
    assert "hush" not in shown.out + shown.err


def test_an_attempts_files_are_its_own_and_go_with_it(files, tmp_path):
    files.set(PASSWORD, b"hush\n")
    mounts = Mounts(folder=tmp_path / "mounted", files=files, environ={"_FSEC_DB_USER": "me", "OTHER": "no"})
    task = asking(
        Secret(group="db", key="password", mount_requirement=Secret.FILE, env_var="WHERE"),
        Secret(group="DB", key="USER", mount_requirement=Secret.ENV_VAR, group_version="v1"),
        Secret(group="../..", key="etc"),
    )

    first, second = mounts.mount(task), mounts.mount(task)
    where = first.env["WHERE"]

    assert first.folder != second.folder
    assert (first.env["_FSEC_DB_USER"], first.env["_FSEC_DB_V1_USER"]) == ("me", "me")
    assert Path(where).read_bytes() == b"hush\n"
    assert len(mounts.missing(task)) == 1

    unmount(first)
    mounts.clear()
    assert not (tmp_path / "mounted").exists()


def test_a_task_that_asks_for_nothing_gets_nothing(files, tmp_path):
    mount = Mounts(folder=tmp_path / "mounted", files=files, environ={}).mount(asking())

    assert (dict(mount.env), mount.folder) == ({}, None)
    assert not (tmp_path / "mounted").exists()

"""The home: private, held by one backend at most, and honest about who serves it."""

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from hydraflyte.errors import BackendStartError
from hydraflyte.home import Home, RunningBackend, write_private


@pytest.fixture
def home(tmp_path):
    home = Home(root=tmp_path / "home")
    home.prepare()
    return home


def a_backend(home):
    return RunningBackend(
        pid=os.getpid(),
        endpoint="127.0.0.1:30080",
        socket=str(home.socket),
        http_url="http://127.0.0.1:30081",
        console_url="http://127.0.0.1:30081/console",
        config=str(home.client_config),
        home=str(home.root),
        python="/usr/bin/python3",
        auth=True,
        version="0",
    )


def test_the_home_is_what_was_given_then_the_environment_then_the_users_data_folder(tmp_path):
    environ = {"HYDRAFLYTE_HOME": str(tmp_path / "from-environment")}

    assert Home.resolve(tmp_path / "given", environ).root == tmp_path / "given"
    assert Home.resolve(None, environ).root == tmp_path / "from-environment"
    assert Home.resolve(None, {}).root.name == "hydraflyte"


def test_the_home_is_private_also_when_it_was_not(tmp_path):
    (tmp_path / "home").mkdir(mode=0o755)

    Home(root=tmp_path / "home").prepare()

    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


def test_a_folder_with_something_else_in_it_is_refused_and_left_open(tmp_path):
    folder = tmp_path / "papers"
    folder.mkdir(mode=0o755)
    (folder / "thesis.tex").touch()

    with pytest.raises(BackendStartError, match="is no home of a backend, and it is not empty"):
        Home(root=folder).prepare()

    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_home_that_is_a_file_is_refused_with_a_hint(tmp_path):
    (tmp_path / "home").write_text("in the way")

    with pytest.raises(BackendStartError, match="cannot be used") as refusal:
        Home(root=tmp_path / "home").prepare()

    assert "--home" in refusal.value.hint


def test_a_second_backend_is_told_who_holds_the_home(home):
    descriptor = home.lock()

    with pytest.raises(BackendStartError, match=f"Another backend \\(pid {os.getpid()}\\) already serves"):
        home.lock()

    os.close(descriptor)


def test_nobody_serves_a_home_that_is_not_held_whatever_its_state_file_says(home):
    home.announce(a_backend(home))

    assert home.running() is None


def test_who_holds_and_announces_is_who_serves(home):
    descriptor = home.lock()
    home.announce(a_backend(home))

    assert home.running() == a_backend(home)

    os.close(descriptor)


def test_the_token_is_made_once_and_readable_by_the_owner_only(home):
    token = home.token()

    assert home.token() == token
    assert len(token) >= 40
    assert home.token_file.stat().st_mode & 0o777 == 0o600


def test_a_socket_path_that_is_too_long_moves_to_a_private_temporary_folder(tmp_path):
    deep = Home(root=tmp_path / ("x" * 90))

    assert len(str(deep.socket)) <= 100
    assert f"hydraflyte-{os.getuid()}" in str(deep.socket)


@pytest.mark.parametrize("damaged", [b"", b"\n", b"short\n", b"\xff" * 43])
def test_a_damaged_token_is_replaced_because_an_empty_one_would_let_everybody_in(home, damaged):
    home.token_file.write_bytes(damaged)

    token = home.token()

    assert len(token) == 43
    assert home.token_file.read_text() == token + "\n"
    assert home.token() == token


def test_two_who_look_at_once_do_not_take_each_other_for_a_backend(home):
    os.close(home.lock())
    looking = os.open(home.lock_file, os.O_RDWR)
    fcntl.flock(looking, fcntl.LOCK_SH)

    assert home.is_locked() is False
    os.close(looking)


@pytest.fixture
def long_home(tmp_path):
    return Home(root=tmp_path / ("long-" * 25))


def test_the_socket_of_a_long_home_is_in_the_temporary_folder_as_an_absolute_path(long_home, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.setattr(tempfile, "tempdir", ".")

    assert long_home.socket.parent == Path(f"/hydraflyte-{os.getuid()}")


def test_the_socket_of_a_long_home_never_has_a_long_path_itself(long_home, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("temporary-" * 10)))

    assert long_home.socket.parent == Path(f"/tmp/hydraflyte-{os.getuid()}")


def test_a_link_in_place_of_the_sockets_folder_is_refused_and_its_target_left_alone(long_home, tmp_path, monkeypatch):
    target = tmp_path / "target"
    target.mkdir(mode=0o755)
    temporary = Path(tempfile.mkdtemp(prefix="hf-"))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (temporary / f"hydraflyte-{os.getuid()}").symlink_to(target)

    with pytest.raises(BackendStartError, match="is a link"):
        long_home.prepare()

    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    shutil.rmtree(temporary)


def test_what_cannot_be_written_is_named_and_leaves_no_partial_file(home):
    (home.root / "taken").mkdir()

    with pytest.raises(BackendStartError, match="taken cannot be written"):
        write_private(home.root / "taken", "text")

    assert list(home.root.glob(".partial-*")) == []


def test_nobody_serves_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    home = Home(root=tmp_path / "file" / "home")

    assert (home.running(), home.holder(), home.is_locked()) == (None, None, False)

"""The backend as a process: up, status, config, down, and every way in which starting it can go wrong."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from hydraflyte.home import Home


def hydraflyte(*arguments, home, check=True):
    command = [sys.executable, "-m", "hydraflyte", *arguments, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if check:
        assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    yield home
    hydraflyte("down", home=home)


def status_of(home):
    return json.loads(hydraflyte("status", "--json", home=home, check=False).stdout)


def test_up_returns_when_the_backend_serves_and_down_stops_it(home):
    up = json.loads(hydraflyte("up", "--port", "0", "--json", home=home).stdout)

    assert up["ready"] is True
    assert status_of(home) == up
    with urllib.request.urlopen(f"{up['http_url']}/healthcheck") as answer:
        assert answer.status == 200
    assert hydraflyte("down", home=home).stdout == "stopped\n"
    assert status_of(home) == {"ready": False, "home": str(home)}


def test_status_without_a_backend_says_how_to_start_one_and_exits_with_1(home):
    done = hydraflyte("status", home=home, check=False)

    assert done.returncode == 1
    assert "start one with `hydraflyte up`" in done.stdout


def test_the_home_and_everything_in_it_is_private(home):
    running = json.loads(hydraflyte("up", "--port", "0", "--json", home=home).stdout)

    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(running["socket"]).stat().st_mode) == 0o600
    open_files = [path.name for path in home.rglob("*") if path.lstat().st_mode & 0o077]
    assert open_files == []


def test_the_client_config_has_no_token_in_it(home):
    hydraflyte("up", "--port", "0", home=home)

    config = Path(hydraflyte("config", home=home).stdout.strip())

    assert config == home / "client.yaml"
    assert "authType: ExternalCommand" in config.read_text()
    assert (home / "token").read_text().strip() not in config.read_text()


def test_no_auth_needs_no_command(home):
    hydraflyte("up", "--port", "0", "--no-auth", home=home)

    assert "authType" not in (home / "client.yaml").read_text()


def test_up_finds_the_backend_that_serves_the_home_as_asked(home):
    first = json.loads(hydraflyte("up", "--port", "0", "--cpus", "2", "--json", home=home).stdout)
    port = first["endpoint"].rpartition(":")[2]

    plain = hydraflyte("up", home=home)
    as_json = hydraflyte("up", "--port", port, "--cpus", "2", "--runtime=process", "--json", home=home)

    assert f"endpoint  {first['endpoint']}\n" in plain.stdout
    assert f"this home is served already, by pid {first['pid']}" in plain.stderr
    assert json.loads(as_json.stdout) == first


def test_a_second_backend_on_the_same_home_is_refused_and_the_first_goes_on(home):
    first = json.loads(hydraflyte("up", "--port", "0", "--json", home=home).stdout)

    other = hydraflyte("up", "--cpus=3", "--no-auth", "--catch-up=last", home=home, check=False)
    second = hydraflyte("up", "--foreground", home=home, check=False)

    assert [other.returncode, second.returncode] == [1, 1]
    assert other.stderr.splitlines() == [
        f"error: Another backend (pid {first['pid']}) already serves the home {home}, and not as asked:"
        " --cpus 3 (it was started without), --no-auth (it asks for a token).",
        "hint: use it as it is (without these options), stop it (`hydraflyte down`), or choose another folder with"
        " --home.",
    ]
    assert f"error: Another backend (pid {first['pid']}) already serves the home {home}." in second.stderr
    assert "hint: use it (`hydraflyte status`)" in second.stderr
    assert status_of(home)["pid"] == first["pid"]


def test_a_port_that_is_taken_is_named(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = hydraflyte("up", "--port", str(port), home=home, check=False)

    assert done.returncode == 1
    assert f"error: Port {port} on 127.0.0.1 is taken by another process." in done.stderr
    assert "hint: choose another one with --port" in done.stderr


@pytest.mark.parametrize("port", ["70000", "-1"])
def test_a_number_that_is_no_port_is_named(home, port):
    done = hydraflyte("up", f"--port={port}", home=home, check=False)

    assert done.returncode == 1
    assert f"error: --port {port} is not the number of a port." in done.stderr
    assert "hint: choose one from 1 to 65535" in done.stderr


def test_an_address_that_others_can_reach_is_refused(home):
    done = hydraflyte("up", "--host", "0.0.0.0", home=home, check=False)

    assert done.returncode == 1
    assert "0.0.0.0 is not a loopback address" in done.stderr


def test_a_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()

    done = hydraflyte("up", "--port", "0", home=tmp_path / "file" / "home", check=False)

    assert done.returncode == 1
    assert f"error: The folder {tmp_path / 'file' / 'home'} cannot be used" in done.stderr
    assert "hint: choose a writable folder with --home" in done.stderr


def test_an_interpreter_that_is_none_is_named(home):
    for path in ("/nowhere/python", "/etc"):
        done = hydraflyte("up", "--python", path, home=home, check=False)

        assert done.returncode == 1
        assert f"--python {path} is not an executable file" in done.stderr


def test_after_kill_9_the_next_up_serves_the_same_home(home):
    killed = json.loads(hydraflyte("up", "--port", "0", "--json", home=home).stdout)["pid"]
    os.kill(killed, signal.SIGKILL)

    running = json.loads(hydraflyte("up", "--port", "0", "--json", home=home).stdout)

    assert running["pid"] != killed
    assert status_of(home)["ready"] is True


def test_down_leaves_no_process_behind(home):
    hydraflyte("up", "--port", "0", home=home)

    hydraflyte("down", home=home)

    assert not Home(root=home).is_locked()
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert [command for command in commands if str(home).encode() in command] == []


def test_doctor_finds_a_sound_installation(home):
    done = hydraflyte("doctor", "--json", home=home, check=False)

    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)}

    assert done.returncode == 0, done.stdout
    assert findings["flytekit"]["is_well"] is True
    assert findings["home"]["is_well"] is True
    assert shutil.disk_usage(home).free > 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_said_once(home):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "hydraflyte", "status", "--home", str(home)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)

    assert done.returncode == 1
    assert done.stderr == "error: The output cannot be written: No space left on device.\n"


def test_a_terminal_that_cannot_show_a_name_gets_it_escaped(tmp_path):
    command = [sys.executable, "-m", "hydraflyte", "status", "--home", str(tmp_path / "höme")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}

    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)

    assert "h\\xf6me" in done.stdout
    assert done.stderr == ""


def test_up_works_without_standard_streams(home):
    command = f'exec "{sys.executable}" -m hydraflyte up --port 0 --home "{home}" <&- >&- 2>&-'

    done = subprocess.run(["/bin/sh", "-c", command], timeout=60)

    assert done.returncode == 0
    assert status_of(home)["ready"] is True

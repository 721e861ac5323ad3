"""A backend that asks who calls: every way of logging in without a browser, and one sentence for every way that fails.

The token server and the door are real and local; behind the door is the embedded backend.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keyring
import pytest
from flytekit.clients.auth.keyring import Credentials, KeyringStore
from keyring.backend import KeyringBackend
from tests.hydra.programs import NO_YAML, run_program, write_program
from tests.integration.launcher.guarded_backend import CLIENT, DEVICE_GRANT, SECRET, GuardedBackend, guarded

from hydraflyte.errors import BackendUnavailableError, ConfigError, LoginError
from hydraflyte.home import RunningBackend
from hydraflyte.launcher import login
from hydraflyte.launcher.endpoint import resolve_endpoint
from hydraflyte.launcher.remote import GrpcFlyteClient


@pytest.fixture(scope="module")
def shared(flyte_backend: RunningBackend) -> Iterator[GuardedBackend]:
    with guarded(flyte_backend.socket) as backend:
        yield backend


@pytest.fixture
def backend(shared: GuardedBackend) -> GuardedBackend:
    shared.calls_per_token, shared.asks_to_wait, shared.hangs = 1000, 0, False
    shared.grants.clear()
    shared.methods.clear()
    return shared


class MemoryKeyring(KeyringBackend):
    """A keyring as a desktop has one."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.passwords: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.passwords[service, username] = password


@pytest.fixture
def desktop_keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryKeyring]:
    monkeypatch.delenv("CI", raising=False)
    before, memory = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object, **__: object) -> bool:
        pytest.fail("a browser was opened")

    for name in ("open", "open_new_tab", "open_new"):
        monkeypatch.setattr(webbrowser, name, opened)


def client_config(folder: Path, backend: GuardedBackend, *lines: str) -> str:
    path = folder / "flyte.yaml"
    path.write_text("\n".join(["admin:", f"  endpoint: dns:///{backend.address}", "  insecure: true", *lines, ""]))
    return str(path)


def with_secret(folder: Path, backend: GuardedBackend, secret: str = SECRET) -> str:
    (folder / "secret").write_text(f"{secret}\n")
    return client_config(
        folder,
        backend,
        "  authType: ClientSecret",
        f"  clientId: {CLIENT}",
        f"  clientSecretLocation: {folder}/secret",
    )


def connect(config: str) -> GrpcFlyteClient:
    return GrpcFlyteClient(resolve_endpoint(config, None, {}))


def test_a_whole_launch_logs_in_with_client_credentials_and_again_when_a_token_is_over(
    tmp_path: Path, backend: GuardedBackend
) -> None:
    backend.calls_per_token = 4
    program = write_program(tmp_path, f"{NO_YAML}\n# of {tmp_path}: no other test's version\n")

    result = run_program(
        program,
        "-m",
        "+x=1,3",
        f"hydra.launcher.endpoint={with_secret(tmp_path, backend)}",
        environ={"CI": "true"},
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("SUCCEEDED") == 4  # a line for each job, and a row in the table
    assert set(backend.grants) == {"client_credentials"}
    assert len(backend.grants) > 1
    assert {"CreateTask", "CreateUploadLocation", "CreateExecution", "GetExecution"} <= set(backend.methods)


def test_the_environment_alone_may_say_where_and_who(
    tmp_path: Path, backend: GuardedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "FLYTE_PLATFORM_URL": backend.address,
        "FLYTE_CREDENTIALS_AUTH_MODE": "ClientSecret",
        "FLYTE_CREDENTIALS_CLIENT_ID": CLIENT,
        "FLYTE_CREDENTIALS_CLIENT_SECRET": SECRET,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    client = GrpcFlyteClient(resolve_endpoint("auto", None, {"HOME": str(tmp_path), **variables}))

    assert client.domains() == ("development", "staging", "production")


def test_a_wrong_secret_ends_the_launch_with_the_token_servers_answer(tmp_path: Path, backend: GuardedBackend) -> None:
    program = write_program(tmp_path, NO_YAML)
    config = with_secret(tmp_path, backend, "wrong")

    result = run_program(program, "-m", f"hydra.launcher.endpoint={config}")

    assert result.returncode == 1
    assert f"The Flyte backend at {backend.address} ({config} (endpoint={config})) asks who this is" in result.stderr
    assert "(authType ClientSecret) failed" in result.stderr
    assert "invalid_client" in result.stderr
    assert "hint: check admin.clientId" in result.stderr
    assert "Traceback" not in result.stderr
    assert backend.methods == []


def test_client_credentials_without_a_secret_are_an_error(tmp_path: Path, backend: GuardedBackend) -> None:
    client = connect(client_config(tmp_path, backend, "  authType: ClientSecret", f"  clientId: {CLIENT}"))

    with pytest.raises(LoginError, match="Client ID and Client SECRET both are required"):
        client.domains()


def test_a_command_prints_the_token(tmp_path: Path, backend: GuardedBackend) -> None:
    token = backend.new_token()
    command = f"  command: [{sys.executable}, -c, print('{token}')]"

    client = connect(client_config(tmp_path, backend, "  authType: ExternalCommand", command))

    assert client.domains() == ("development", "staging", "production")
    assert backend.grants == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("[sh, -c, 'echo no ticket >&2; exit 3']", "no ticket"),
        ("[no-such-program-at-all]", "no-such-program-at-all"),
        ("[sh, -c, 'echo stale']", "does not let this user in"),
    ],
)
def test_a_command_that_gives_no_good_token_is_named(
    tmp_path: Path, backend: GuardedBackend, command: str, reason: str
) -> None:
    client = connect(client_config(tmp_path, backend, "  authType: ExternalCommand", f"  command: {command}"))

    with pytest.raises(BackendUnavailableError, match=reason):
        client.domains()


def test_a_device_is_shown_an_address_and_waited_for(
    tmp_path: Path, backend: GuardedBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    backend.asks_to_wait = 2
    client = connect(client_config(tmp_path, backend, "  authType: DeviceFlow"))

    assert client.domains() == ("development", "staging", "production")
    assert backend.grants == [DEVICE_GRANT] * 3
    shown = capsys.readouterr()
    assert f"{backend.token_server}/login?user_code=ABCD" in shown.err
    assert shown.out == ""


def test_a_login_that_needs_a_browser_is_refused_at_once_in_ci(tmp_path: Path, backend: GuardedBackend) -> None:
    program = write_program(tmp_path, NO_YAML)
    config = client_config(tmp_path, backend, "  authType: Pkce")
    started = time.monotonic()

    result = run_program(program, "-m", f"hydra.launcher.endpoint={config}", environ={"CI": "true"})

    assert result.returncode == 1
    assert "a session in a browser is needed, and this is a CI job" in result.stderr
    assert result.stderr.count("hint: a launcher opens no browser.") == 1
    assert "set admin.authType of the Flyte client config to ClientSecret" in result.stderr
    assert "Traceback" not in result.stderr
    assert time.monotonic() - started < 60  # nobody waits for an answer


@pytest.mark.usefixtures("desktop_keyring")
def test_a_login_that_needs_a_browser_is_refused_without_a_stored_session(
    tmp_path: Path, backend: GuardedBackend
) -> None:
    client = connect(client_config(tmp_path, backend))  # flytekit's default is Pkce

    with pytest.raises(LoginError, match="and none is stored on this machine"):
        client.domains()


@pytest.mark.usefixtures("desktop_keyring")
def test_a_stored_session_serves_every_call_and_is_renewed_when_it_is_over(
    tmp_path: Path, backend: GuardedBackend
) -> None:
    backend.calls_per_token = 2
    stored = backend.new_token()
    KeyringStore.store(Credentials(stored, refresh_token="again", for_endpoint=backend.address))
    client = connect(client_config(tmp_path, backend, "  authType: Pkce"))

    answers = {client.domains() for _ in range(3)}

    assert answers == {("development", "staging", "production")}
    assert backend.grants == ["refresh_token"]
    renewed = KeyringStore.retrieve(backend.address)
    assert renewed is not None
    assert renewed.access_token != stored


@pytest.mark.usefixtures("desktop_keyring")
def test_a_stored_session_that_cannot_be_renewed_is_over(tmp_path: Path, backend: GuardedBackend) -> None:
    KeyringStore.store(Credentials("old", refresh_token="revoked", for_endpoint=backend.address))
    client = connect(client_config(tmp_path, backend, "  authType: Pkce"))

    with pytest.raises(LoginError, match="the stored session is over"):
        client.domains()


def test_a_token_server_that_does_not_answer_is_given_up(
    tmp_path: Path, backend: GuardedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "_LIMIT_S", 0.3)
    backend.hangs = True
    client = connect(with_secret(tmp_path, backend))

    with pytest.raises(LoginError, match="failed: no answer within 0 s"):
        client.domains()


def test_threads_that_are_refused_together_log_in_once(tmp_path: Path, backend: GuardedBackend) -> None:
    client = connect(with_secret(tmp_path, backend))
    together = threading.Barrier(8)

    def ask(_: int) -> tuple[str, ...]:
        together.wait()
        return client.domains()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))

    assert set(answers) == {("development", "staging", "production")}
    assert backend.grants == ["client_credentials"]


def test_a_way_that_nothing_knows_is_named(tmp_path: Path, backend: GuardedBackend) -> None:
    client = connect(client_config(tmp_path, backend, "  authType: Telepathy"))

    with pytest.raises(LoginError, match=r"authType Telepathy\) failed: Unknown authentication type 'Telepathy'"):
        client.domains()


def test_a_proxys_command_that_fails_is_named(tmp_path: Path, backend: GuardedBackend) -> None:
    client = connect(client_config(tmp_path, backend, "  proxyCommand: [no-such-program-at-all]"))

    with pytest.raises(LoginError, match=r"The proxy before .*no-such-program-at-all"):
        client.domains()


def test_a_backend_whose_certificate_cannot_be_fetched_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "_CONNECT_LIMIT_S", 0.3)
    path = tmp_path / "flyte.yaml"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        path.write_text(f"admin:\n  endpoint: 127.0.0.1:{silent.getsockname()[1]}\n  insecureSkipVerify: true\n")

        with pytest.raises(BackendUnavailableError, match="its certificate cannot be fetched"):
            connect(str(path))


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = tmp_path / "flyte.yaml"
    path.write_text("admin:\n  endpoint: flyte.example.org\n  caCertFilePath: /no/such/file.pem\n")

    with pytest.raises(ConfigError, match=r"The certificates /no/such/file\.pem"):
        connect(str(path))

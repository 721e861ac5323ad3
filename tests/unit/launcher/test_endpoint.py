"""Which backend is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydraflyte.errors import ConfigError
from hydraflyte.launcher.endpoint import means_embedded, resolve_endpoint

CONFIG = (
    "admin:\n  endpoint: dns:///flyte.example.org\n  insecure: false\nconsole:\n  endpoint: https://ui.example.org\n"
)


def test_auto_means_the_embedded_backend_where_no_other_tool_has_a_config(tmp_path: Path) -> None:
    assert means_embedded("auto", {"HOME": str(tmp_path)})


def test_auto_means_the_config_of_the_other_tools(tmp_path: Path) -> None:
    (tmp_path / ".flyte").mkdir()
    (tmp_path / ".flyte" / "config.yaml").write_text(CONFIG)

    endpoint = resolve_endpoint("auto", None, {"HOME": str(tmp_path)})

    assert endpoint.target == "flyte.example.org"
    assert endpoint.insecure is False
    assert endpoint.console_url == "https://ui.example.org"
    assert endpoint.front_page == "https://ui.example.org/console"
    assert endpoint.origin == f"{tmp_path}/.flyte/config.yaml (endpoint=auto)"
    assert not endpoint.is_embedded


def test_flytectl_config_wins_over_the_usual_place(tmp_path: Path) -> None:
    named = tmp_path / "other.yaml"
    named.write_text(CONFIG.replace("flyte.example.org", "other.example.org"))

    endpoint = resolve_endpoint("auto", None, {"HOME": str(tmp_path), "FLYTECTL_CONFIG": str(named)})

    assert endpoint.target == "other.example.org"


def test_the_embedded_backends_own_client_config_means_the_embedded_backend(tmp_path: Path) -> None:
    environ = {"HYDRAFLYTE_HOME": str(tmp_path), "FLYTECTL_CONFIG": str(tmp_path / "client.yaml")}

    assert means_embedded("auto", environ)
    assert not means_embedded("auto", {**environ, "FLYTECTL_CONFIG": str(tmp_path / "other.yaml")})


@pytest.mark.parametrize(
    ("address", "insecure", "is_plain_text"),
    [
        ("localhost:30080", None, True),
        ("127.0.0.1:30080", None, True),
        ("[::1]:30080", None, True),
        ("flyte.example.org:443", None, False),
        ("dns:///flyte.example.org", None, False),
        ("flyte.example.org:80", True, True),
        ("localhost:30080", False, False),
    ],
)
def test_plain_text_is_for_loopback_unless_asked_for(address: str, insecure: bool | None, is_plain_text: bool) -> None:
    endpoint = resolve_endpoint(address, insecure, {})

    assert endpoint.insecure is is_plain_text
    assert endpoint.console_url.startswith("http://" if is_plain_text else "https://")


def test_a_config_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing.yaml \(endpoint=.*\) does not exist"):
        resolve_endpoint(str(tmp_path / "missing.yaml"), None, {})


def test_a_config_file_without_an_endpoint_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("logger:\n  level: 1\n")

    with pytest.raises(ConfigError, match=r"names no admin\.endpoint"):
        resolve_endpoint(str(path), None, {})


def test_an_address_that_is_none_is_an_error() -> None:
    with pytest.raises(ConfigError, match="neither an address nor the path of a file"):
        resolve_endpoint("http://flyte.example.org", None, {})


def test_the_environment_may_name_the_backend_where_no_file_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_PLATFORM_URL", "flyte.example.org:443")
    monkeypatch.setenv("FLYTE_CREDENTIALS_CLIENT_ID", "ci")
    environ = {"HOME": str(tmp_path), "FLYTE_PLATFORM_URL": "flyte.example.org:443"}

    endpoint = resolve_endpoint("auto", None, environ)

    assert not means_embedded("auto", environ)
    assert endpoint.target == "flyte.example.org:443"
    assert endpoint.origin == "FLYTE_PLATFORM_URL (endpoint=auto)"
    assert endpoint.insecure is False
    assert endpoint.platform is not None
    assert endpoint.platform.client_id == "ci"


def test_the_environment_says_who_calls_an_address_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_CREDENTIALS_CLIENT_ID", "ci")
    monkeypatch.setenv("FLYTE_CREDENTIALS_AUTH_MODE", "ClientSecret")

    platform = resolve_endpoint("dns:///flyte.example.org", None, {}).platform

    assert platform is not None
    assert (platform.endpoint, platform.client_id, platform.auth_mode) == ("flyte.example.org", "ci", "ClientSecret")


@pytest.mark.parametrize("text", ["admin:\n", "admin: 7\n", "- admin\n", "admin: {endpoint: 7}\n"])
def test_a_config_file_of_another_form_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"config\.yaml \(endpoint=.*\) (cannot be read|names no admin\.endpoint)"):
        resolve_endpoint(str(path), None, {})

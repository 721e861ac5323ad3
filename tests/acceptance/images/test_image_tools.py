"""The tools that the tests of images rely on do what those tests take for granted."""

from pathlib import Path

import pytest
import requests


def test_the_small_base_has_a_python_that_runs_in_podman(registry, base_image, podman):
    said = podman.command("podman", "run", "--rm", "--tls-verify=false", base_image, "python", "-c", "print(6 * 7)")

    assert said.stdout == "42\n"


def test_the_docker_daemon_runs_the_small_base(registry, base_image, docker):
    said = docker.command("docker", "run", "--rm", "--network=none", base_image, "python", "-c", "print(6 * 7)")

    assert said.stdout == "42\n"


def test_buildah_runs_a_command_on_the_small_base(registry, base_image, buildah, tmp_path):
    Path(tmp_path, "Dockerfile").write_text(f'FROM {base_image}\nRUN python -c \'open("/made", "w").write("x")\'\n')

    said = buildah.command("buildah", "build", "--tls-verify=false", "-t", "localhost/made:1", str(tmp_path))

    assert "Successfully tagged localhost/made:1" in said.stdout + said.stderr


@pytest.mark.parametrize(("password", "status"), [("lovelace", 200), ("byron", 401)])
def test_the_locked_registry_takes_its_user_only(locked_registry, password, status):
    answer = requests.get(
        f"https://{locked_registry.host}/v2/",
        auth=(locked_registry.username, password),
        verify=str(locked_registry.certificate),
    )

    assert answer.status_code == status

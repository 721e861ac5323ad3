"""What each builder is asked, as lists of arguments."""

import doctest
import re
from pathlib import Path

import pytest

from hydraflyte.errors import ConfigError, ImageError
from hydraflyte.launcher.images import dialects
from hydraflyte.launcher.images.building import BuildRequest, BuildSecret, Target
from hydraflyte.launcher.images.cli_builders import cli_builder
from hydraflyte.launcher.images.commands import CommandLine, CommandRun
from hydraflyte.launcher.images.dialects import DIALECTS, Scratch
from hydraflyte.launcher.images.failures import explain

SCRATCH = Scratch(image_id=Path("/s/id"), digest=Path("/s/digest"), list_name="localhost/hydraflyte-1")
ROWS = {dialect.name: dialect for dialect in DIALECTS}


def request(**settings):
    given = {
        "target": Target(repository="registry.example.org/team/app", tag="1.0"),
        "base": "python:3.11",
        "context": Path("/code"),
        "dockerfile": Path("/code/Dockerfile"),
        **settings,
    }
    return BuildRequest(**given)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(dialects).failed == 0


def test_the_order_of_the_table_is_the_order_in_which_auto_tries():
    assert tuple(dialect.name for dialect in dialects.DIALECTS) == ("docker-buildx", "podman", "buildah", "docker")


@pytest.mark.parametrize("name", ROWS)
def test_values_of_build_arguments_and_secrets_are_in_no_command_line(name):
    secrets = (BuildSecret(id="token", variable="TOKEN"),) if ROWS[name].takes_secrets else ()

    arguments = ROWS[name].build(request(build_args={"KEY": "hidden-value"}, secrets=secrets), SCRATCH)

    assert "hidden-value" not in " ".join(arguments)
    assert arguments[arguments.index("KEY") - 1] == "--build-arg"


def test_podman_builds_and_pushes_by_the_id_of_what_it_built():
    row = ROWS["podman"]

    assert row.build(request(platforms=("linux/amd64",)), SCRATCH) == [
        "podman",
        "build",
        "--pull=newer",
        "--layers=true",
        "--tag=registry.example.org/team/app:1.0",
        "--iidfile=/s/id",
        "--platform=linux/amd64",
        "--file=/code/Dockerfile",
        "--build-arg",
        "BASE_IMAGE",
        "--build-arg",
        "BASE_VERSION",
        "/code",
    ]
    assert row.push(request(), SCRATCH, "sha256:abc") == [
        "podman",
        "push",
        "--digestfile=/s/digest",
        "sha256:abc",
        "docker://registry.example.org/team/app:1.0",
    ]


@pytest.mark.parametrize(
    ("is_insecure", "repository", "base", "build_is_plain", "push_is_plain"),
    [
        (None, "localhost:5001/app", "python:3.11", False, True),
        (None, "registry.example.org/app", "localhost:5001/base:1", True, False),
        (True, "registry.example.org/app", "python:3.11", True, True),
        (False, "localhost:5001/app", "localhost:5001/base:1", False, False),
    ],
)
def test_plain_text_is_spoken_with_this_machine_or_where_it_is_asked_for(
    is_insecure, repository, base, build_is_plain, push_is_plain
):
    asked = request(target=Target(repository=repository, tag="1"), base=base, is_insecure=is_insecure)

    build, push = ROWS["buildah"].build(asked, SCRATCH), ROWS["buildah"].push(asked, SCRATCH, "id")

    assert ("--tls-verify=false" in build) is build_is_plain
    assert ("--tls-verify=false" in push) is push_is_plain


@pytest.mark.parametrize("base", ["team/app:1.0", "docker.io/team/app:1.0"])
def test_an_image_is_never_built_on_itself(base):
    with pytest.raises(ConfigError, match="built on itself"):
        request(target=Target(repository="team/app", tag="1.0"), base=base)


def test_a_build_argument_that_steers_the_builder_is_refused():
    with pytest.raises(ConfigError, match="DOCKER_HOST, PATH, which steers buildah itself"):
        cli_builder("buildah", {}).build(request(build_args={"PATH": "/x", "DOCKER_HOST": "y"}), print)


def test_several_platforms_are_refused_by_docker_without_buildx():
    with pytest.raises(ConfigError, match="for linux/amd64 and linux/arm64; docker without buildx builds for one"):
        cli_builder("docker", {}).build(request(platforms=("linux/amd64", "linux/arm64")), print)


def test_a_builder_that_is_not_installed_is_named(tmp_path):
    with pytest.raises(ImageError, match="to be built by podman, and podman is not on PATH"):
        cli_builder("podman", {"PATH": str(tmp_path)}).build(request(), print)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("write /var/lib/x: no space left on device", "the disk is full"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "no Docker daemon answers"),
        ('ERROR: process "/bin/sh -c false" did not complete successfully: exit code: 1', "a RUN of the Dockerfile"),
        ("denied: requested access to the resource is denied", "does not let this user do that"),
        ("failed to solve: no match for platform in manifest: not found", "for the platform that is wanted"),
        ("x509: certificate signed by unknown authority", "no certificate that this machine trusts"),
        ("dockerfile parse error line 2: unknown instruction: RUNN", "the Dockerfile cannot be read"),
        ("COPY failed: file not found in build context", "something that the Dockerfile names is not there"),
    ],
)
def test_the_last_lines_are_put_into_one_sentence(line, reason):
    ended = CommandRun(code=1, last_lines=("step 1", line))

    error = explain(ended, what="The default image cannot be built by buildah", request=request())

    assert re.match(f"The default image cannot be built by buildah: .*{reason}", error.message)
    assert line in error.message


def test_values_of_build_arguments_do_not_show_when_a_request_or_a_command_is_printed():
    command = CommandLine(
        arguments=["podman"], environment={"KEY": "hunter22"}, folder=Path("context"), masked=["hunter22"]
    )

    assert "hunter22" not in repr(request(build_args={"KEY": "hunter22"}))
    assert "hunter22" not in repr(command)

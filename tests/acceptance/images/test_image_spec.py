"""``ImageSpec(builder="hydraflyte")`` through unmodified flytekit: what is pushed, and what is registered."""

import io
import json
import subprocess
import tarfile

import pytest
from flytekit import ImageSpec, task
from flytekit.configuration import ImageConfig, SerializationSettings
from flytekit.core.context_manager import FlyteEntities
from flytekit.tools.translator import get_serializable_task
from tests.acceptance.images.wheels import make_index
from tests.image_tools import push_image, require, tar_of

from hydraflyte.errors import ConfigError
from hydraflyte.launcher.images.registry.client import Registry


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Take the tasks made here out of flytekit's list: it asks for their images when any test registers a script."""
    before = len(FlyteEntities.entities)
    yield
    del FlyteEntities.entities[before:]


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No credentials of the machine, and no Docker."""
    require("skopeo")
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")


def registered_image(spec):
    """Return the image of a task with this ImageSpec, as flytekit would register it."""

    @task(container_image=spec)
    def nothing() -> None: ...

    settings = SerializationSettings(
        image_config=ImageConfig.auto_default_image(), project="p", domain="d", version="v", env={}
    )
    return get_serializable_task({}, settings, nothing).template.container.image


def inspected(reference, *arguments):
    said = subprocess.run(
        ["skopeo", "inspect", *arguments, "--tls-verify=false", f"docker://{reference}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(said.stdout)


def test_variables_and_files_are_appended_and_the_digest_is_registered(registry, shell_image, tmp_path):
    (tmp_path / "helpers.py").write_text("x = 1\n")
    spec = ImageSpec(
        name="appended-spec",
        builder="hydraflyte",
        registry=registry,
        base_image=shell_image,
        env={"GREETING": "hello"},
        source_root=str(tmp_path),
        copy=["helpers.py"],
    )

    image = registered_image(spec)

    assert image == f"{registry}/appended-spec@{inspected(image)['Digest']}"
    config = inspected(image, "--config")["config"]
    assert "GREETING=hello" in config["Env"]
    assert f"_F_IMG_ID={spec.id}" in config["Env"]
    assert "PYTHONPATH=/root" in config["Env"]
    assert config["WorkingDir"] == "/root"
    assert len(inspected(image)["Layers"]) == len(inspected(shell_image)["Layers"]) + 1


@pytest.mark.parametrize("settings", [{"packages": ["alpha==1.0"]}, {"requirements": "requirements.txt"}])
def test_packages_become_a_layer_for_the_python_of_the_base(registry, tmp_path, monkeypatch, settings):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.txt").write_text("alpha==1.0\n")
    for name in ("UV", "PIP"):
        monkeypatch.setenv(f"{name}_NO_INDEX", "1")
        monkeypatch.setenv(f"{name}_FIND_LINKS", str(make_index(tmp_path / name)))
    base = push_image(
        registry, "base/spec", "1", layers=[tar_of({"x": b"x"})], environment=["PYTHON_VERSION=3.11.4", "PATH=/bin"]
    )

    image = registered_image(
        ImageSpec(name="packaged-spec", builder="hydraflyte", registry=registry, base_image=base, **settings)
    )

    pinned = Registry.open(image)
    layer = pinned.manifest(image.partition("@")[2]).layers[-1]
    with tarfile.open(fileobj=io.BytesIO(pinned.read_blob(layer.digest, layer.size_bytes))) as archive:
        assert [name for name in archive.getnames() if name.endswith("alpha/__init__.py")]


def test_commands_are_run_by_a_builder_of_this_machine(registry, shell_image, podman, monkeypatch):
    for name, value in podman.environment.items():
        monkeypatch.setenv(name, value)
    spec = ImageSpec(
        name="commanded-spec",
        builder="hydraflyte",
        registry=registry,
        base_image=shell_image,
        env={"GREETING": "good day"},
        commands=["echo made > /made"],
    )

    image = registered_image(spec)

    said = podman.command(
        "podman", "run", "--rm", "--tls-verify=false", image, "sh", "-c", 'cat /made && echo "$GREETING"'
    )
    assert said.stdout == "made\ngood day\n"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cuda": "12"}, "builder=hydraflyte does not know cuda"),
        ({"conda_packages": ["numpy"]}, "does not know conda_packages"),
        ({"registry": None}, "names no registry"),
        ({"builder_options": {"cache": True}}, "builder_options has cache"),
        ({"builder_options": {"builder": "podmann"}}, "There is no image builder 'podmann'"),
    ],
)
def test_what_it_cannot_do_is_refused(registry, shell_image, settings, message):
    given = {"name": "refused", "builder": "hydraflyte", "registry": registry, "base_image": shell_image, **settings}

    with pytest.raises(ConfigError, match=message):
        registered_image(ImageSpec(**given))


def test_nobody_gets_it_who_does_not_name_it():
    assert ImageSpec(name="x").builder == "default"

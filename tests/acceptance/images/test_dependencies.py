"""Dependencies as a layer: from each kind of lock file, for other processors and Pythons than this machine's."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from dataclasses import replace

import pytest
from tests.acceptance.images.conftest import NO_CREDENTIALS, files_in
from tests.acceptance.images.families import push_family
from tests.acceptance.images.wheels import make_index
from tests.image_tools import push_image, tar_of

from hydraflyte.errors import ImageError
from hydraflyte.launcher.images import dependencies
from hydraflyte.launcher.images.append import LayerAppender
from hydraflyte.launcher.images.building import BuildRequest, Outcome, Target
from hydraflyte.launcher.images.registry.client import Registry
from hydraflyte.launcher.images.registry.manifests import digest_of

PYTHON = f"3.{sys.version_info.minor}"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels, which both installers take for the whole world."""
    folder = make_index(tmp_path / "wheels")
    for name in ("UV", "PIP"):
        monkeypatch.setenv(f"{name}_NO_INDEX", "1")
        monkeypatch.setenv(f"{name}_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def appender(hasty):
    return LayerAppender(environment=NO_CREDENTIALS, patience=hasty)


@pytest.fixture(scope="module")
def stated_image(registry):
    """A base that says which Python it has, as the official images do; for both processors."""
    return {
        version: push_image(
            registry,
            "base/stated",
            version,
            layers=[tar_of({"version": version.encode()})],
            environment=[f"PYTHON_VERSION={version}.4", "PATH=/usr/local/bin:/usr/bin:/bin"],
        )
        for version in ("3.10", "3.12")
    }


def requirements(folder, text):
    path = folder / "requirements.txt"
    path.write_text(text)
    return path


def requested(registry, base, lock, path, code=None, **given):
    return BuildRequest(
        target=Target(repository=f"{registry}/{path}", tag="1"),
        context=lock.parent,
        base=base,
        dependencies=lock,
        files=files_in(code) if code is not None else None,
        **given,
    )


def names_in_layer(built, number, patience):
    """Return the files of the layer, and their content."""
    registry = Registry.open(built.reference, environment=NO_CREDENTIALS, patience=patience)
    layer = registry.manifest(built.digest).layers[number]
    with tarfile.open(fileobj=io.BytesIO(registry.read_blob(layer.digest, layer.size_bytes))) as archive:
        return {member.name: archive.extractfile(member).read().decode() for member in archive if member.isfile()}


def test_packages_and_their_commands_are_there_beside_the_code(
    registry, base_image, podman, index, code, appender, tmp_path
):
    (code / "train.py").write_text("import alpha, model.net\nprint(alpha.VERSION, model.net.NAME)\n")
    lock = requirements(tmp_path, "alpha==1.0\n")

    built = appender.build(requested(registry, base_image, lock, "packages/run", code), print)

    run = ("podman", "run", "--rm", "--tls-verify=false", built.reference)
    assert podman.command(*run, "python", "train.py").stdout == "1.0 first\n"
    assert podman.command(*run, "say-alpha").stdout == "alpha 1.0\n"


def test_new_code_finds_the_packages_that_were_pushed_before(registry, stated_image, index, code, appender, tmp_path):
    lock = requirements(tmp_path, "alpha==1.0\n")
    request = requested(registry, stated_image["3.12"], lock, "packages/kept", code)
    appender.build(request, print)
    (code / "train.py").write_text("changed = True\n")
    said = []

    built = appender.build(requested(registry, stated_image["3.12"], lock, "packages/kept", code), said.append)

    assert built.outcome is Outcome.appended
    assert [line.partition(" ")[0] for line in said] == ["pushing", f"{registry}/packages/kept:1"]


def test_another_lock_file_gives_other_packages(registry, stated_image, index, appender, tmp_path, hasty):
    lock = requirements(tmp_path, "alpha==1.0\n")
    first = appender.build(requested(registry, stated_image["3.12"], lock, "packages/changed"), print)
    requirements(tmp_path, "alpha==1.1\n")

    second = appender.build(requested(registry, stated_image["3.12"], lock, "packages/changed"), print)

    assert first.digest != second.digest
    assert "VERSION = '1.1'" in names_in_layer(second, -1, hasty)["opt/hydraflyte/packages/alpha/__init__.py"]


def test_a_file_that_the_requirements_include_counts(tmp_path):
    lock = requirements(tmp_path, "-r more.txt\n")
    (tmp_path / "more.txt").write_text("alpha==1.0\n")
    before = dependencies.lock_content(lock)
    (tmp_path / "more.txt").write_text("alpha==1.1\n")

    assert dependencies.lock_content(lock) != before


@pytest.mark.parametrize(
    ("platform", "processor", "python"), [("linux/amd64", "x86_64", "3.12"), ("linux/arm64", "aarch64", "3.10")]
)
def test_wheels_are_those_of_the_images_processor_and_python(
    registry, stated_image, index, appender, tmp_path, hasty, platform, processor, python
):
    base = as_platform(registry, stated_image[python], platform, python, hasty)
    lock = requirements(tmp_path, "native\n")

    built = appender.build(requested(registry, base, lock, f"packages/{processor}-{python}"), print)

    wheel = names_in_layer(built, -1, hasty)["opt/hydraflyte/packages/native-2.0.dist-info/WHEEL"]
    tag = f"cp{python.replace('.', '')}"
    assert f"Tag: {tag}-{tag}-manylinux_2_17_{processor}\n" in wheel


def as_platform(registry, base, platform, python, patience):
    """Push the base again as one for another processor; returns its reference."""
    writer = Registry.open(base, writes=True, environment=NO_CREDENTIALS, patience=patience)
    manifest = writer.manifest(base.rpartition(":")[2])
    config = json.loads(writer.read_blob(manifest.config.digest, manifest.config.size_bytes))
    config["architecture"] = platform.partition("/")[2]
    content = json.dumps(config).encode()
    digest = digest_of(content)
    writer.push_blob(digest, content)
    document = json.loads(manifest.content)
    document["config"] |= {"digest": digest, "size": len(content)}
    tag = f"{python}-{config['architecture']}"
    writer.push_manifest(tag, json.dumps(document).encode(), manifest.media_type)
    return f"{registry}/base/stated:{tag}"


def test_each_platform_of_an_index_gets_its_own_packages(registry, index, appender, code, tmp_path, hasty):
    base = push_family(registry, "base/both", is_docker=False, environment=["PYTHON_VERSION=3.12.1"])
    lock = requirements(tmp_path, "native\n")
    request = requested(registry, base, lock, "packages/both", code, platforms=("linux/amd64", "linux/arm64"))
    appender.build(request, print)
    (code / "train.py").write_text("changed = True\n")

    built = appender.build(replace(request, files=files_in(code)), print)

    reader = Registry.open(built.reference, environment=NO_CREDENTIALS, patience=hasty)
    found = []
    for child in reader.manifest(built.digest).children:
        platform = replace(built, digest=child.descriptor.digest)
        wheel = names_in_layer(platform, -2, hasty)["opt/hydraflyte/packages/native-2.0.dist-info/WHEEL"]
        code_layer = names_in_layer(platform, -1, hasty)
        found.append((str(child.platform), wheel.rpartition("2_17_")[2].strip(), code_layer["root/train.py"]))
    assert found == [
        ("linux/amd64", "x86_64", "changed = True\n"),
        ("linux/arm64/v8", "aarch64", "changed = True\n"),
    ]


@pytest.mark.parametrize("kind", ["uv.lock", "pylock.toml"])
def test_locks_of_a_project_are_taken(registry, stated_image, index, appender, tmp_path, hasty, kind):
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["alpha==1.0"]\n'
    )
    uv = dependencies.find_uv()
    subprocess.run([uv, "lock", "--quiet", "--project", project, "--python", sys.executable], check=True)
    export = [uv, "export", "--quiet", "--frozen", "--project", project, "--format", "pylock.toml"]
    subprocess.run([*export, "--output-file", project / "pylock.toml"], check=True, capture_output=True)

    built = appender.build(
        requested(registry, stated_image["3.12"], project / kind, f"packages/{kind.partition('.')[0]}"), print
    )

    names = names_in_layer(built, -1, hasty)
    assert "opt/hydraflyte/packages/alpha/__init__.py" in names
    assert not any("mine" in name for name in names)


def test_the_layer_depends_on_neither_installer_nor_machine(
    registry, stated_image, index, appender, tmp_path, monkeypatch
):
    lock = requirements(tmp_path, "alpha==1.0\n")
    base = push_image(
        registry, "base/own", "1", layers=[tar_of({"a": b""})], environment=[f"PYTHON_VERSION={PYTHON}.1"]
    )
    by_uv = appender.build(requested(registry, base, lock, "packages/by-uv"), print)
    monkeypatch.setattr(dependencies, "find_uv", lambda: None)

    by_pip = appender.build(requested(registry, base, lock, "packages/by-pip"), print)

    assert by_pip.digest == by_uv.digest


def test_pip_is_not_taken_for_another_python(registry, stated_image, index, appender, tmp_path, monkeypatch):
    other = "3.10" if PYTHON != "3.10" else "3.12"
    monkeypatch.setattr(dependencies, "find_uv", lambda: None)

    with pytest.raises(ImageError, match="without uv") as caught:
        appender.build(requested(registry, stated_image[other], requirements(tmp_path, "alpha\n"), "packages/x"), print)

    assert caught.value.hint == "Install it: pip install 'hydraflyte[images]', or uv by itself."


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_package_without_a_wheel_is_named(registry, index, appender, tmp_path, monkeypatch, installer):
    base = push_image(
        registry, "base/own", "1", layers=[tar_of({"a": b""})], environment=[f"PYTHON_VERSION={PYTHON}.1"]
    )
    lock = requirements(tmp_path, "absent-package==3\n")
    if installer == "pip":
        monkeypatch.setattr(dependencies, "find_uv", lambda: None)

    with pytest.raises(
        ImageError, match=r"Installing the dependencies in .*requirements.txt failed:\n(.*\n)*.*absent-package"
    ) as caught:
        appender.build(requested(registry, base, lock, "packages/absent"), print)

    assert caught.value.hint.startswith("A package must have a wheel for the image's platform and Python")


def test_a_base_without_python_is_refused(registry, tiny_image, index, appender, tmp_path):
    with pytest.raises(ImageError, match=r"The base \S+/base/tiny has no Python on its PATH"):
        appender.build(requested(registry, tiny_image, requirements(tmp_path, "alpha\n"), "packages/none"), print)


def test_a_base_that_does_not_say_its_python_is_looked_into(registry, index, appender, tmp_path, hasty):
    layers = [tar_of({"usr/bin/python3.12": b"ELF"}), tar_of({"opt/bin/python3.9": b"ELF"})]
    base = push_image(registry, "base/looked-into", "1", layers=layers, environment=["PATH=/usr/bin:/opt/bin"])

    built = appender.build(requested(registry, base, requirements(tmp_path, "alpha\n"), "packages/looked"), print)

    script = names_in_layer(built, -1, hasty)["opt/hydraflyte/packages/bin/say-alpha"]
    assert script.startswith("#!/usr/bin/python3.12\n")


def test_an_installer_that_hangs_is_stopped(registry, stated_image, index, appender, tmp_path, monkeypatch):
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 600 &\nwait\n")
    slow.chmod(0o755)
    monkeypatch.setattr(dependencies, "find_uv", lambda: str(slow))
    lock = requirements(tmp_path, "alpha\n")

    with pytest.raises(ImageError, match=r"Installing the dependencies in .* did not end within 0.3 s"):
        appender.build(requested(registry, stated_image["3.12"], lock, "packages/slow", timeout_s=0.3), print)


def test_settings_that_would_send_packages_elsewhere_do_not_count(
    registry, stated_image, index, appender, tmp_path, monkeypatch, hasty
):
    for name in ("PIP_TARGET", "UV_TARGET", "PIP_USER"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    lock = requirements(tmp_path, "alpha==1.0\n")

    built = appender.build(requested(registry, stated_image["3.12"], lock, "packages/diverted"), print)

    assert "opt/hydraflyte/packages/alpha/__init__.py" in names_in_layer(built, -1, hasty)
    assert not (tmp_path / "elsewhere").exists()


def test_a_package_from_a_folder_has_no_wheel(registry, stated_image, index, appender, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\n')
    lock = requirements(tmp_path, f"{tmp_path}/mine\n")

    with pytest.raises(ImageError, match="mine") as caught:
        appender.build(requested(registry, stated_image["3.12"], lock, "packages/folder"), print)

    assert caught.value.hint.startswith("A package must have a wheel")


def test_a_launch_that_is_stopped_stops_the_installer(registry, stated_image, appender, tmp_path, monkeypatch):
    slow, started = tmp_path / "slow", tmp_path / "started"
    slow.write_text(f"#!/bin/sh\ntouch {started}\nsleep 600 &\nwait\n")
    slow.chmod(0o755)
    monkeypatch.setattr(dependencies, "find_uv", lambda: str(slow))
    lock = requirements(tmp_path, "alpha\n")
    request = requested(registry, stated_image["3.12"], lock, "packages/stopped", is_cancelled=started.exists)

    with pytest.raises(ImageError, match="The build was cancelled"):
        appender.build(request, print)


def test_a_lock_file_that_does_not_exist_is_named(registry, stated_image, appender, tmp_path):
    with pytest.raises(ImageError, match=r"The file with the dependencies .*uv.lock cannot be read: No such file"):
        appender.build(requested(registry, stated_image["3.12"], tmp_path / "uv.lock", "packages/x"), print)

"""From the config to what is built: which images, from what, by whom."""

import threading
from pathlib import Path

import pytest

from hydraflyte.config import LauncherConfig, WorkflowConfig
from hydraflyte.errors import ConfigError, ImageError
from hydraflyte.image_config import ImageConfig
from hydraflyte.launcher.code.files import FileSet
from hydraflyte.launcher.images.builders import builder_named, builders_for
from hydraflyte.launcher.images.building import BuildSecret, BuiltImage, Outcome, Target
from hydraflyte.launcher.images.choice import (
    Images,
    Surroundings,
    builds_images,
    have_images,
    images_as_they_are,
    wishes,
)

DIGEST = "sha256:" + "1" * 64


class ScriptedBuilder:
    """Answers with a digest once all that are expected are being built; fails for the names it is told to."""

    name = "scripted"

    def __init__(self, *, at_once=1, fails=()):
        self._barrier = threading.Barrier(at_once, timeout=10)
        self._fails = fails

    def build(self, request, say):
        self._barrier.wait()
        if request.name in self._fails:
            raise ImageError(f"no {request.title}", hint=f"mend {request.name}")
        say("working")
        return BuiltImage(reference=request.target.pinned(DIGEST), digest=DIGEST, outcome=Outcome.built)


@pytest.fixture
def around(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    (tmp_path / "token.txt").write_text("secret")
    (tmp_path / "docker").mkdir()
    return Surroundings(
        root=tmp_path, files=FileSet(root=tmp_path, files=(), ignored=()), environment={"TOKEN": "secret"}
    )


def settings(default=None, *extra, build_images=True):
    return LauncherConfig(
        build_images=build_images,
        workflow=WorkflowConfig(default_image=default or ImageConfig(), extra_images=list(extra)),
    )


def made(config, around, builder, say):
    wanted = wishes(config, around)
    return have_images(config, wanted, {wish.name: builder for wish in wanted}, say)


APP = ImageConfig(target_image="reg.example.org/me/app", target_image_version="2", base_image="python")


def test_auto_builds_only_for_a_cluster_and_only_with_a_target():
    auto = settings(APP, build_images="auto")

    assert builds_images(auto, is_embedded=False)
    assert not builds_images(auto, is_embedded=True)
    assert not builds_images(settings(ImageConfig(base_image="python"), build_images="auto"), is_embedded=False)
    assert not builds_images(settings(APP, build_images=False), is_embedded=False)
    assert builds_images(settings(APP), is_embedded=True)


def test_without_building_images_keep_the_names_of_the_config():
    gpu = ImageConfig(flyte_image_name="gpu", base_image="nvidia/cuda", base_image_version="12")

    images = images_as_they_are(settings(APP, gpu, build_images=False))

    assert images == Images(default="reg.example.org/me/app:2", named={"gpu": "nvidia/cuda:12"})


def test_a_dockerfile_in_the_context_is_found(around):
    (wish,) = wishes(settings(APP), around)

    assert wish.request.target == Target(repository="reg.example.org/me/app", tag="2")
    assert wish.request.base == "python:latest"
    assert wish.request.dockerfile == around.root / "Dockerfile"
    assert wish.request.context == around.root
    assert wish.text() == "default: reg.example.org/me/app:2 on python:latest, by auto, which builds Dockerfile"


def test_paths_count_from_the_folder_of_the_code_wherever_the_launch_is_made(around, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    image = ImageConfig(target_image="app", dockerfile_path="Dockerfile", docker_context="docker")

    (wish,) = wishes(settings(image), around)

    assert (wish.request.dockerfile, wish.request.context) == (around.root / "Dockerfile", around.root / "docker")


@pytest.mark.parametrize("change", [{"builder": "append"}, {"dependencies": "token.txt"}])
def test_append_and_dependencies_need_no_dockerfile(around, change):
    image = ImageConfig(target_image="app", base_image="python", **change)

    (wish,) = wishes(settings(image), around)

    assert wish.request.dockerfile is None


def test_secrets_are_variables_or_files(around):
    image = ImageConfig(target_image="app", secrets=["TOKEN", "id=pip,env=TOKEN", "id=netrc,src=token.txt"])

    (wish,) = wishes(settings(image), around)

    assert wish.request.secrets == (
        BuildSecret(id="TOKEN", variable="TOKEN"),
        BuildSecret(id="pip", variable="TOKEN"),
        BuildSecret(id="netrc", file=around.root / "token.txt"),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"secrets": ["MISSING"]}, "the variable MISSING is not set"),
        ({"secrets": ["id=a,env=TOKEN,src=token.txt"]}, "is no build secret"),
        ({"secrets": ["id=a,src=gone.txt"]}, "secrets=gone.txt is no file"),
        ({"dockerfile_path": "gone"}, "dockerfile_path=gone is no file"),
        ({"docker_context": "gone"}, "docker_context=gone is no folder"),
        ({"dependencies": "gone.txt", "base_image": "python"}, "dependencies=gone.txt is no file"),
        ({"docker_context": "docker"}, "would be built from nothing: no .*docker/Dockerfile, and no base_image"),
        ({"target_image_version": "sha256:" + "0" * 64}, "is a digest: what is built gets one of its own"),
        ({"target_image": "me/App"}, "'me/App:latest' is no name of an image"),
        ({"target_image": ""}, "no image names what is to be built"),
    ],
)
def test_what_cannot_be_built_is_told_before_anything_is(around, change, message):
    image = ImageConfig(**{"target_image": "app", **change})

    with pytest.raises(ConfigError, match=message):
        wishes(settings(image), around)


def test_images_are_built_at_the_same_time_and_registered_by_digest(around):
    gpu = ImageConfig(flyte_image_name="gpu", target_image="reg.example.org/me/gpu")
    plain = ImageConfig(flyte_image_name="plain", base_image="alpine", base_image_version="3")
    config, said = settings(APP, gpu, plain), []

    images = made(config, around, ScriptedBuilder(at_once=2), said.append)

    assert images == Images(
        default=f"reg.example.org/me/app@{DIGEST}",
        named={"gpu": f"reg.example.org/me/gpu@{DIGEST}", "plain": "alpine:3"},
        hold_the_code=False,  # nobody put it into alpine
    )
    assert sorted(said)[:2] == ["default image built: " + images.default, "default: working"]


def test_the_code_is_in_the_images_if_all_of_them_were_made(around):
    gpu = ImageConfig(flyte_image_name="gpu", target_image="reg.example.org/me/gpu")
    config = settings(APP, gpu)

    images = made(config, around, ScriptedBuilder(at_once=2), print)

    assert images.hold_the_code


def test_every_image_that_failed_is_named(around):
    gpu = ImageConfig(flyte_image_name="gpu", target_image="gpu")
    cpu = ImageConfig(flyte_image_name="cpu", target_image="cpu")
    config = settings(APP, gpu, cpu)
    builder = ScriptedBuilder(at_once=3, fails=("gpu", "cpu"))

    with pytest.raises(ImageError) as failure:
        made(config, around, builder, print)

    assert failure.value.message.startswith("2 images cannot be had:")
    assert "no image gpu" in failure.value.message
    assert "no image cpu" in failure.value.message


def test_an_unknown_builder_is_refused_with_the_nearest(around):
    with pytest.raises(ConfigError, match="There is no image builder 'podmann'") as failure:
        builder_named("podmann", "app", {})

    assert failure.value.hint == "did you mean podman?"


def test_cloud_build_takes_its_project_from_the_target():
    builder = builder_named("cloudbuild", "europe-docker.pkg.dev/my-project/images/app", {})

    assert builder.inner.project == "my-project"


def test_every_image_has_a_builder_of_its_own(around):
    gpu = ImageConfig(flyte_image_name="gpu", target_image="gcr.io/other-project/gpu", builder="cloudbuild")
    app = ImageConfig(target_image="gcr.io/my-project/app", builder="cloudbuild")

    builders = builders_for(wishes(settings(app, gpu), around), {})

    assert {name: builder.inner.project for name, builder in builders.items()} == {
        "default": "my-project",
        "gpu": "other-project",
    }


def test_cloud_build_without_a_project_says_what_to_set():
    with pytest.raises(ConfigError, match=r"needs a Google Cloud project, and ghcr\.io/me/app names none"):
        builder_named("cloudbuild", "ghcr.io/me/app", {})


def test_the_folder_of_files_is_not_read_for_an_image_that_exists(around):
    image = ImageConfig(target_image="app", target_image_version="1", builder="none")

    (wish,) = wishes(settings(image), around)

    assert (wish.request.base, wish.request.dockerfile) == (None, None)
    assert isinstance(wish.request.context, Path)

"""Which images a launch needs, and which builder makes each: from the config to requests, from requests to images.

One rule: nothing is built unless the config asks for it, and then all images at the same time. Knows the config's keys
and the builders by name; what a registry or a builder says is theirs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from hydraflyte.config import PREFIX, LauncherConfig
from hydraflyte.errors import ConfigError, HydraFlyteError, ImageError
from hydraflyte.image_config import ImageConfig
from hydraflyte.launcher.code.files import FileSet
from hydraflyte.launcher.images.building import BuildRequest, BuildSecret, BuiltImage, ImageBuilder, Say, Target
from hydraflyte.launcher.images.registry.names import parse_image

DEFAULT_NAME = "default"
_MOST_AT_ONCE = 8
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The images that tasks are registered with.

    Attributes:
        default: reference of the image of tasks that name none; ``None`` means flytekit's stock image.
        named: ``flyte_image_name`` -> reference of the others.
        hold_the_code: whether the code is in all of them: then no code bundle is needed.
    """

    default: str | None = None
    named: Mapping[str, str] = field(default_factory=dict)
    hold_the_code: bool = False

    def key(self) -> list[str | None]:
        """Return what of it decides what is registered."""
        extra = [f"{name}={reference}" for name, reference in sorted(self.named.items())]
        return [self.default, *extra, *(["code inside"] if self.hold_the_code else [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the images are made from.

    Attributes:
        root: the folder of the code, from which relative paths of the config count.
        files: the code, as a bundle would hold it.
        environment: variables that builders and the registry client see.
    """

    root: Path
    files: FileSet
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One image that is to be made or looked up, and by whom."""

    name: str
    request: BuildRequest
    builder: str

    def text(self) -> str:
        """Return what dry_run shows of it."""
        base = f" on {self.request.base}" if self.request.base else ""
        return f"{self.name}: {self.request.target.reference}{base}, by {self._way()}"

    def _way(self) -> str:
        dockerfile = self.request.dockerfile
        if self.builder != "auto":
            return self.builder
        return "auto, which appends" if dockerfile is None else f"auto, which builds {dockerfile.name}"


def builds_images(settings: LauncherConfig, *, is_embedded: bool) -> bool:
    """Tell whether the launch makes images: where asked to, and by itself only for a cluster with a target image."""
    if settings.build_images == "auto":
        return not is_embedded and settings.workflow.default_image.target_image is not None
    return settings.build_images is True


def images_as_they_are(settings: LauncherConfig) -> Images:
    """Return the images of a launch that makes none, or of a plan: by the names that the config gives them."""
    named = {name: image.reference() or "" for name, image in _images(settings).items() if name != DEFAULT_NAME}
    return Images(default=settings.workflow.default_image.reference(), named=named)


def wishes(settings: LauncherConfig, around: Surroundings) -> tuple[Wish, ...]:
    """Return what is to be made, the default image first.

    Raises:
        ConfigError: an image cannot be made as the config says; names every such image.
    """
    found, problems = [], []
    for name, image in _images(settings).items():
        if image.target_image is None:
            continue
        try:
            found.append(Wish(name=name, request=_request(name, image, around), builder=image.builder))
        except (ConfigError, ImageError) as error:
            problems.append(error)
    if problems:
        raise ConfigError("\n".join(each.message for each in problems), hint=" ".join(each.hint for each in problems))
    return tuple(found)


def have_images(
    settings: LauncherConfig, wanted: Sequence[Wish], builders: Mapping[str, ImageBuilder], say: Say
) -> Images:
    """Make the images, all at the same time, and return what tasks are registered with.

    Args:
        builders: name of the image -> its builder.
        say: told what happens, from several threads.

    Raises:
        HydraFlyteError: an image cannot be had; the message names all that failed. Those that did not fail are pushed.
    """
    plain = images_as_they_are(settings)
    built: dict[str, BuiltImage] = {}
    failures: list[HydraFlyteError] = []
    lock, is_stopped = threading.Lock(), threading.Event()

    def make(wish: Wish) -> None:
        prefix = f"{wish.name}: " if len(wanted) > 1 else ""
        try:
            request = replace(wish.request, is_cancelled=is_stopped.is_set)
            image = builders[wish.name].build(request, lambda line: say(f"{prefix}{line}"))
        except HydraFlyteError as error:
            with lock:
                failures.append(error)
            return
        with lock:
            built[wish.name] = image
        say(f"{wish.request.title} {image.outcome.value}: {image.reference}{_sent(image)}")

    with ThreadPoolExecutor(max_workers=_MOST_AT_ONCE, thread_name_prefix="image") as pool:
        under_way = {pool.submit(make, wish) for wish in wanted}
        try:
            while under_way:  # a wait without a limit need not notice Ctrl-C
                done, under_way = wait(under_way, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        except BaseException:  # the pool would wait for builds that may take an hour
            is_stopped.set()
            raise
    if failures:
        raise _together(failures)
    references = {name: image.reference for name, image in built.items()}
    return Images(
        default=references.pop(DEFAULT_NAME, plain.default),
        named={**plain.named, **references},
        hold_the_code={wish.name for wish in wanted if wish.builder != "none"} == set(_images(settings)),
    )


def _images(settings: LauncherConfig) -> dict[str, ImageConfig]:
    extra = {image.flyte_image_name or "": image for image in settings.workflow.extra_images}
    return {DEFAULT_NAME: settings.workflow.default_image, **extra}


def _request(name: str, image: ImageConfig, around: Surroundings) -> BuildRequest:
    """Return the request for one image.

    Raises:
        ConfigError: paths or secrets do not fit.
        ImageError: a name is no image's name.
    """
    key = f"{PREFIX}.workflow.{'default_image' if name == DEFAULT_NAME else 'extra_images'}"
    reference = image.reference()
    assert reference is not None
    target = parse_image(reference)
    if target.digest is not None:
        raise ConfigError(
            f"{key}.target_image={reference} is a digest: what is built gets one of its own.",
            hint="name a tag in target_image_version.",
        )
    context = _folder(f"{key}.docker_context", image.docker_context, around.root)
    builds = image.builder != "none"
    return BuildRequest(
        target=Target(repository=target.repository, tag=target.reference),
        base=image.base_reference() if builds else None,
        dockerfile=_dockerfile(key, image, context, around.root) if builds else None,
        context=context,
        build_args={argument: str(value) for argument, value in image.buildargs.items()},
        secrets=tuple(_secret(f"{key}.secrets", text, around) for text in image.secrets),
        platforms=tuple(image.platforms),
        dependencies=_file(f"{key}.dependencies", image.dependencies, around.root),
        files=around.files,
        name=None if name == DEFAULT_NAME else name,
        timeout_s=float(image.build_timeout_s),
    )


def _dockerfile(key: str, image: ImageConfig, context: Path, root: Path) -> Path | None:
    """Return the Dockerfile to build with; None where the image is appended to.

    Raises:
        ConfigError: there is neither a Dockerfile nor a base to append to.
    """
    if image.dockerfile_path is not None:
        return _file(f"{key}.dockerfile_path", image.dockerfile_path, root)
    found = context / "Dockerfile"
    if image.dependencies is None and image.builder != "append" and found.is_file():
        return found
    if image.base_image is None:
        raise ConfigError(
            f"{key}.target_image={image.target_image} would be built from nothing: no {found}, and no base_image.",
            hint=f"write a Dockerfile, or name the image to put the code into with {key}.base_image.",
        )
    return None


def _folder(key: str, text: str | None, root: Path) -> Path:
    folder = root if text is None else (root / Path(text).expanduser()).resolve()
    if not folder.is_dir():
        raise ConfigError(f"{key}={text} is no folder: {folder}.", hint=f"paths count from {root}.")
    return folder


def _file(key: str, text: str | None, root: Path) -> Path | None:
    if text is None:
        return None
    path = (root / Path(text).expanduser()).resolve()
    if not path.is_file():
        raise ConfigError(f"{key}={text} is no file: {path}.", hint=f"paths count from {root}.")
    return path


def _secret(key: str, text: str, around: Surroundings) -> BuildSecret:
    """Return one build secret: a bare name is that of a variable.

    Raises:
        ConfigError: it cannot be read, or what it names is not there.
    """
    parts = dict(part.partition("=")[::2] for part in text.split(",")) if "=" in text else {"id": text, "env": text}
    identity, variable = parts.get("id", ""), parts.get("env")
    source = parts.get("src", parts.get("source"))
    unknown = sorted(set(parts) - {"id", "env", "src", "source", "type"})
    if unknown or not identity or (variable is None) == (source is None):
        raise ConfigError(
            f"{key}: {text!r} is no build secret.",
            hint="write the name of a variable, or id=NAME,env=VARIABLE, or id=NAME,src=FILE.",
        )
    if variable is not None:
        if variable not in around.environment:
            raise ConfigError(f"{key}: the variable {variable} is not set.", hint=f"export {variable}=… first.")
        return BuildSecret(id=identity, variable=variable)
    return BuildSecret(id=identity, file=_file(key, source, around.root))


def _sent(image: BuiltImage) -> str:
    return "" if image.sent_bytes is None else f" ({image.sent_bytes / 1e6:.2f} MB sent)"


def _together(failures: Sequence[HydraFlyteError]) -> HydraFlyteError:
    if len(failures) == 1:
        return failures[0]
    text = "\n".join(f"({number}) {error.message}" for number, error in enumerate(failures, start=1))
    hints = " ".join(f"({number}) {error.hint}" for number, error in enumerate(failures, start=1))
    return ImageError(f"{len(failures)} images cannot be had:\n{text}", hint=hints)

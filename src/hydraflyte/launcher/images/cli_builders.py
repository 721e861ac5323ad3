"""Image builders that are driven by their command lines: docker buildx, podman, buildah, docker.

One rule: only an exit status of 0 counts as done, and only the digest that the push itself reports names the image. A
build that fails pushes nothing, so the target's tag keeps its meaning.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hydraflyte.errors import ConfigError, ImageError
from hydraflyte.launcher.images.building import BuildRequest, BuildSecret, BuiltImage, Outcome, Say, never
from hydraflyte.launcher.images.commands import CommandLine, CommandRun, run_command
from hydraflyte.launcher.images.dialects import DIALECTS, Dialect, Scratch, base_arguments
from hydraflyte.launcher.images.failures import explain

_PROBE_LIMIT_S = 15.0
_PROBE_ERROR = re.compile(r"^(Error|ERROR):", re.MULTILINE)
"""`docker buildx inspect` tells of a daemon that does not answer, and ends with 0."""
_MASKED_BYTES = 16384
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PUSHED_DIGEST = re.compile(r"digest: (?P<digest>sha256:[0-9a-f]{64}) size: \d+")
_STEERING = re.compile(
    r"(PATH|HOME|TMPDIR|SHELL|USER|(DOCKER|BUILDX|BUILDKIT|BUILDAH|CONTAINERS?|STORAGE|XDG|LD|DYLD)_\w+)"
)
"""Variables that steer the builder itself: as build arguments they would change what it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CliBuilder:
    """Builds with one of the command lines.

    Attributes:
        dialect: which.
        environment: the variables that the builder sees: its configuration and credentials are found through them.
    """

    dialect: Dialect
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """What ``builder`` in the config calls it."""
        return self.dialect.name

    def is_usable(self) -> bool:
        """Tell whether the builder is installed, and its daemon answers if it has one."""
        if shutil.which(self.dialect.probe[0], path=self.environment.get("PATH")) is None:
            return False
        with suppress(ImageError):
            ended = self._run(self.dialect.probe, time.monotonic() + _PROBE_LIMIT_S, _nothing)
            return ended.code == 0 and _PROBE_ERROR.search(ended.text) is None
        return False

    def build(self, request: BuildRequest, say: Say) -> BuiltImage:
        """Return the built and pushed image.

        Raises:
            ConfigError: the builder cannot do what the request asks for.
            ImageError: the build or the push failed.
        """
        self._check(request)
        if shutil.which(self.dialect.probe[0], path=self.environment.get("PATH")) is None:
            raise ImageError(
                f"The {request.title} is to be built by {self.name}, and {self.dialect.probe[0]} is not on PATH.",
                hint="install it, or choose another builder: auto takes the first that can be used.",
            )
        deadline = time.monotonic() + request.timeout_s
        with tempfile.TemporaryDirectory(prefix="hydraflyte-image-") as folder:
            scratch = Scratch(
                image_id=Path(folder, "image-id"),
                digest=Path(folder, "digest"),
                list_name=f"localhost/hydraflyte-{uuid.uuid4().hex}",
            )
            digest = self._build_and_push(_Build(request=request, scratch=scratch, deadline=deadline, say=say))
        return BuiltImage(reference=request.target.pinned(digest), digest=digest, outcome=Outcome.built)

    def _build_and_push(self, build: _Build) -> str:
        request, dialect = build.request, self.dialect
        if dialect.refresh is not None and request.base is not None:
            self._refresh(build, dialect.refresh(request))
        try:
            ended = self._step(build, dialect.build(request, build.scratch))
            if dialect.push is not None:
                image = _read(build.scratch.image_id)
                ended = self._step(build, dialect.push(request, build.scratch, image), is_push=True)
        finally:
            if dialect.clean_up is not None and len(request.platforms) > 1:
                arguments = dialect.clean_up(request, build.scratch)
                with suppress(ImageError):
                    self._run(arguments, time.monotonic() + _PROBE_LIMIT_S, _nothing)
        digest = _digest_of(_read(build.scratch.digest), ended)
        if digest is None:
            raise ImageError(
                f"{self.name} built the {request.title} and told no digest of it.",
                hint="update the builder, or choose another one.",
            )
        return digest

    def _step(self, build: _Build, arguments: list[str], *, is_push: bool = False) -> CommandRun:
        """Run one command of the build.

        Raises:
            ImageError: it failed; the message has the reason and the last lines.
        """
        ended = self._run(arguments, build.deadline, build.say, build.request)
        if ended.code != 0:
            what = f"The {build.request.title} cannot be {'pushed' if is_push else 'built'} by {self.name}"
            raise explain(ended, what=what, request=build.request, is_push=is_push)
        return ended

    def _refresh(self, build: _Build, arguments: list[str]) -> None:
        """Fetch a newer base. One that only this machine has is no error: the build itself tells if there is none."""
        if self._run(arguments, build.deadline, build.say, build.request).code != 0:
            build.say(f"{build.request.base} cannot be fetched anew: the build takes the one that it finds")

    def _run(
        self, arguments: tuple[str, ...] | list[str], deadline: float, say: Say, request: BuildRequest | None = None
    ) -> CommandRun:
        values: dict[str, str] = {}
        secrets: list[str] = []
        if request is not None:
            values = {**base_arguments(request.base), **request.build_args}
            secrets = [_text_of(secret, self.environment) for secret in request.secrets]
        command = CommandLine(
            arguments=arguments,
            environment={**self.environment, **dict(self.dialect.environment), **values},
            folder=Path.cwd() if request is None else request.context,
            masked=[*secrets, *(request.build_args.values() if request else ())],
            is_cancelled=never if request is None else request.is_cancelled,
        )
        return run_command(command, deadline=deadline, say=say)

    def _check(self, request: BuildRequest) -> None:
        """Check that the builder can do it.

        Raises:
            ConfigError: it cannot.
        """
        steering = sorted(name for name in request.build_args if _STEERING.fullmatch(name))
        if steering:
            raise ConfigError(
                f"buildargs of the {request.title} name {', '.join(steering)}, which steers {self.name} itself.",
                hint="give the build argument another name.",
            )
        if request.dockerfile is None:
            raise ConfigError(
                f"The {request.title} has no Dockerfile, and {self.name} builds by one.",
                hint="name it with dockerfile_path, or take builder=append, which puts the code onto the base image.",
            )
        if request.secrets and not self.dialect.takes_secrets:
            raise ConfigError(
                f"The {request.title} needs build secrets, and docker without buildx has none.",
                hint="install docker buildx, or take builder=podman or builder=buildah.",
            )
        if len(request.platforms) > 1 and not self.dialect.takes_platforms:
            raise ConfigError(
                f"The {request.title} is for {' and '.join(request.platforms)}; docker without buildx builds for one.",
                hint="install docker buildx, or take builder=podman or builder=buildah.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Build:
    """One build under way."""

    request: BuildRequest
    scratch: Scratch
    deadline: float
    say: Say


def cli_builder(name: str, environment: Mapping[str, str]) -> CliBuilder | None:
    """Return the builder of that name, or None if no command line has it."""
    found = [dialect for dialect in DIALECTS if dialect.name == name]
    return CliBuilder(dialect=found[0], environment=environment) if found else None


def first_usable(environment: Mapping[str, str]) -> CliBuilder | None:
    """Return the first builder of the table that is installed and answers, or None."""
    builders = (CliBuilder(dialect=dialect, environment=environment) for dialect in DIALECTS)
    return next((builder for builder in builders if builder.is_usable()), None)


def usable_builders(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of all builders that are installed and answer, the one that ``auto`` takes first."""
    builders = [CliBuilder(dialect=dialect, environment=environment) for dialect in DIALECTS]
    with ThreadPoolExecutor(max_workers=len(builders)) as pool:
        answers = list(pool.map(CliBuilder.is_usable, builders))
    return tuple(builder.name for builder, answer in zip(builders, answers, strict=True) if answer)


def _nothing(line: str) -> None:
    """Show nothing."""


def _text_of(secret: BuildSecret, environment: Mapping[str, str]) -> str:
    """Return what of a secret could turn up in a log.

    Raises:
        ImageError: its file cannot be read.
    """
    if secret.variable is not None:
        return environment.get(secret.variable, "")
    assert secret.file is not None
    try:
        with secret.file.open("rb") as stream:
            return stream.read(_MASKED_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise ImageError(
            f"The build secret {secret.id} cannot be read from {secret.file}: {error.strerror}.",
            hint="Correct secrets, or the right to read the file.",
        ) from error


def _read(path: Path) -> str:
    """Return what a builder wrote, empty if it wrote nothing."""
    with suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8").strip()
    return ""


def _digest_of(written: str, ended: CommandRun) -> str | None:
    """Return the digest from the builder's file (plain, or buildx's metadata), else from what the push said."""
    if written.startswith("{"):
        written = str(json.loads(written).get("containerimage.digest", ""))
    if _DIGEST.fullmatch(written):
        return written
    said = [match["digest"] for match in _PUSHED_DIGEST.finditer(ended.text)]
    return said[-1] if said else None

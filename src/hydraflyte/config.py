"""Everything that can be set under ``hydra.launcher``, declared once.

Docs, JSON schema and CLI help are made from these classes. They are mutable, unlike all other values here:
Hydra refuses every override of a frozen schema. Enum members are lower-case because OmegaConf reads names.
Knows nothing of Hydra; must stay cheap to import, because Hydra scans the launcher in every Hydra program.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from hydraflyte.errors import ConfigError

PREFIX = "hydra.launcher"


class ExecutionEnvironment(Enum):
    """Where the jobs run."""

    remote = "remote"  # through the Flyte API
    local = "local"  # in this process, as plain Python


OnFailure = Enum(
    "OnFailure",
    {
        "continue": "continue",  # the other jobs go on; a keyword in Python, hence the functional form
        "fail_fast": "fail_fast",  # the first failed job cancels the others
    },
)


class Problem(NamedTuple):
    """One thing that is wrong in the config."""

    text: str
    hint: str


@dataclass
class ImageConfig:
    """One container image; all keys empty means flytekit's stock image."""

    base_image: str | None = field(
        default=None, metadata={"help": "the existing image to run in, or to build on; without its tag"}
    )
    base_image_version: str | None = field(default=None, metadata={"help": "tag of base_image"})
    target_image: str | None = field(default=None, metadata={"help": "name of the image to build and push"})
    target_image_version: str | None = field(default=None, metadata={"help": "tag of target_image"})
    dockerfile_path: str | None = field(default=None, metadata={"help": "Dockerfile to build with"})
    docker_context: str | None = field(default=None, metadata={"help": "folder sent to the image builder"})
    buildargs: dict[str, str] = field(default_factory=dict, metadata={"help": "build arguments"})
    secrets: list[str] = field(default_factory=list, metadata={"help": "build secrets"})
    builder: str | None = field(default=None, metadata={"help": "which image builder to use"})
    flyte_image_name: str | None = field(
        default=None, metadata={"help": "the name tasks refer to it by: {{.image.<name>.fqn}}"}
    )

    def reference(self) -> str | None:
        """Return ``image:tag`` of the existing image to run in, or None for the stock image."""
        if self.base_image is None:
            return None
        return self.base_image if self.base_image_version is None else f"{self.base_image}:{self.base_image_version}"

    def keys_that_need_a_build(self) -> list[str]:
        """Return the keys that are set and mean nothing unless an image is built."""
        build_keys = ("target_image", "dockerfile_path", "docker_context", "buildargs", "secrets", "builder")
        return [key for key in build_keys if getattr(self, key)]


@dataclass
class WorkflowConfig:
    """What is registered, and as what."""

    name: str | None = field(default=None, metadata={"help": "the main workflow, when it cannot be found by itself"})
    project: str = field(default="flytesnacks", metadata={"help": "Flyte project"})
    domain: str = field(default="development", metadata={"help": "Flyte domain"})
    version: str | None = field(
        default=None,
        metadata={"help": "version to register; default: from git. A registered version is run as it is"},
    )
    target_image_version: str | None = field(default=None, metadata={"help": "older spelling of version"})
    default_image: ImageConfig = field(
        default_factory=ImageConfig, metadata={"help": "image of every task that does not name one"}
    )
    extra_images: list[ImageConfig] = field(default_factory=list, metadata={"help": "further images, by name"})
    ignore: str = field(
        default=".flyteignore", metadata={"help": "file that lists what the code bundle leaves out, gitignore syntax"}
    )
    cron_schedule: str | None = field(default=None, metadata={"help": "registers and activates a cron schedule"})
    fixed_rate: str | None = field(default=None, metadata={"help": "registers and activates a fixed-rate schedule"})

    def given_version(self) -> str | None:
        """Return the version asked for, under either spelling, or None."""
        return self.version or self.target_image_version


@dataclass
class NotificationConfig:
    """Who is told about which phases."""

    type: str = field(default="email", metadata={"help": "email, slack, pagerduty, webhook, command or file"})
    phases: list[str] = field(default_factory=list, metadata={"help": "execution phases to tell about"})
    recipients: list[str] = field(default_factory=list, metadata={"help": "addresses"})


@dataclass
class LauncherConfig:
    """All keys of ``hydra.launcher``.

    Raises:
        ConfigError: on construction, when values do not fit; names every problem, not only the first.
    """

    execution_environment: ExecutionEnvironment = field(
        default=ExecutionEnvironment.remote,
        metadata={"help": "remote = through the Flyte API; local = in this process"},
    )
    endpoint: str = field(
        default="auto",
        metadata={
            "help": "embedded; host:port or dns:///host; path of a Flyte client config file; auto = the Flyte "
            "config other clients would use, else embedded"
        },
    )
    insecure: bool | str = field(
        default="auto", metadata={"help": "plain text; auto = only for loopback and the embedded backend"}
    )
    build_images: bool | str = field(
        default="auto", metadata={"help": "false copies the code into an existing image; true builds and pushes"}
    )
    run: bool = field(default=True, metadata={"help": "false = register only"})
    wait: bool = field(default=True, metadata={"help": "false = submit, print links, return handles"})
    on_failure: OnFailure = field(
        default=OnFailure["continue"], metadata={"help": "continue, or fail_fast: the first failure cancels the rest"}
    )
    max_concurrency: int | None = field(
        default=None, metadata={"help": "most jobs of one sweep in flight; default: all"}
    )
    resume: str | None = field(default=None, metadata={"help": "a sweep id or last: run only what has not succeeded"})
    dry_run: bool = field(default=False, metadata={"help": "print the plan and touch nothing"})
    workflow: WorkflowConfig = field(default_factory=WorkflowConfig, metadata={"help": "what is registered"})
    notifications: list[NotificationConfig] = field(default_factory=list, metadata={"help": "who is told what"})

    def __post_init__(self) -> None:
        problems = [*self._misfits(), *self._not_available()]
        if len(problems) == 1:
            raise ConfigError(problems[0].text, hint=problems[0].hint)
        if problems:
            lines = "\n".join(f"  - {problem.text}" for problem in problems)
            hints = " ".join(f"({number}) {problem.hint}" for number, problem in enumerate(problems, start=1))
            raise ConfigError(f"{len(problems)} settings under {PREFIX} do not fit:\n{lines}", hint=hints)

    def insecure_wanted(self) -> bool | None:
        """Return what ``insecure`` asks for; None means auto."""
        return self.insecure if isinstance(self.insecure, bool) else None

    def _misfits(self) -> Iterator[Problem]:
        """Yield values that can never be right."""
        yield from _endpoint_problems(self.endpoint)
        for key in ("insecure", "build_images"):
            value = getattr(self, key)
            if not isinstance(value, bool) and value != "auto":
                yield _not_a_choice(key, value, ("auto", "true", "false"))
        if self.max_concurrency is not None and self.max_concurrency < 1:
            yield Problem(
                f"{PREFIX}.max_concurrency is {self.max_concurrency}: no job could ever start.",
                f"set {PREFIX}.max_concurrency to 1 or more, or leave it out for no limit.",
            )
        yield from _workflow_problems(self.workflow)

    def _not_available(self) -> Iterator[Problem]:
        """Yield settings whose behaviour this version does not have: refused, never silently ignored."""
        workflow = self.workflow
        wanted = {
            "build_images=true": self.build_images is True,
            "resume": self.resume is not None,
            "notifications": bool(self.notifications),
            "workflow.extra_images": bool(workflow.extra_images),
            "workflow.cron_schedule": workflow.cron_schedule is not None,
            "workflow.fixed_rate": workflow.fixed_rate is not None,
        }
        for key in workflow.default_image.keys_that_need_a_build():
            wanted[f"workflow.default_image.{key}"] = True
        for key in (key for key, is_set in wanted.items() if is_set):
            yield Problem(
                f"{PREFIX}.{key} is not available in this version.",
                f"leave {PREFIX}.{key.split('=')[0]} at its default.",
            )


def nearest(word: str, choices: tuple[str, ...]) -> str | None:
    """Return the choice that ``word`` was most likely meant to be, or None."""
    import difflib  # only for messages: this module is imported in every Hydra program

    found = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return found[0] if found else None


def _endpoint_problems(endpoint: str) -> Iterator[Problem]:
    """Yield a problem if the endpoint is a bare word other than the two that mean something."""
    if endpoint in ("auto", "embedded") or any(character in endpoint for character in ":/\\.~"):
        return
    meant = nearest(endpoint, ("auto", "embedded"))
    yield Problem(
        f"{PREFIX}.endpoint={endpoint!r} is neither auto, embedded, host:port, dns:///host nor a config file.",
        f"did you mean {PREFIX}.endpoint={meant}?" if meant else f"for a host, add its port: {endpoint}:80.",
    )


def _workflow_problems(workflow: WorkflowConfig) -> Iterator[Problem]:
    for key in ("project", "domain"):
        if not getattr(workflow, key):
            yield Problem(
                f"{PREFIX}.workflow.{key} is empty.", f"set {PREFIX}.workflow.{key}, or leave it at its default."
            )
    older, version = workflow.target_image_version, workflow.version
    if older is not None and version is not None and older != version:
        yield Problem(
            f"{PREFIX}.workflow.version={version} and its older spelling target_image_version={older} differ.",
            f"keep only {PREFIX}.workflow.version.",
        )
    image = workflow.default_image
    if image.base_image_version is not None and image.base_image is None:
        yield Problem(
            f"{PREFIX}.workflow.default_image.base_image_version={image.base_image_version} names a tag, but no image.",
            f"set {PREFIX}.workflow.default_image.base_image too.",
        )


def _not_a_choice(key: str, value: object, choices: tuple[str, ...]) -> Problem:
    meant = nearest(str(value), choices)
    hint = f"did you mean {PREFIX}.{key}={meant}?" if meant else f"set {PREFIX}.{key} to one of {', '.join(choices)}."
    return Problem(f"{PREFIX}.{key}={value!r} is none of {', '.join(choices)}.", hint)

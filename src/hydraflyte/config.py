"""Everything that can be set under ``hydra.launcher``, declared once.

Docs, JSON schema and CLI help are made from these classes. They are mutable, unlike all other values here:
Hydra refuses every override of a frozen schema. Enum members are lower-case because OmegaConf reads names.
Knows nothing of Hydra; must stay cheap to import, because Hydra scans the launcher in every Hydra program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from hydraflyte.errors import ConfigError
from hydraflyte.image_config import BUILDERS, ImageConfig

PREFIX = "hydra.launcher"
MAIL_KINDS = ("email", "slack", "pagerduty")
"""Notifications that Flyte's API knows; each goes to mail addresses."""
LOCAL_KINDS = ("webhook", "command", "file")
"""Notifications that only the embedded backend, or the launcher itself, delivers."""
NOTIFIED_PHASES = ("SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT")
_RATE = re.compile(r"(?P<value>[1-9]\d*)\s*(?P<unit>m|min|minutes?|h|hours?|d|days?)")


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
    require_clean: list[str] = field(
        default_factory=list, metadata={"help": "domains that take only committed code, such as production"}
    )
    cron_schedule: str | None = field(
        default=None,
        metadata={
            "help": "five cron fields or @daily and the like: registers and activates a schedule, instead of running "
            "now; with run=false it stays inactive. A launch without the key deactivates it"
        },
    )
    fixed_rate: str | None = field(
        default=None,
        metadata={"help": "the same, at a fixed rate: a whole number of minutes, hours or days, as in 15m"},
    )
    schedule_timezone: str | None = field(
        default=None, metadata={"help": "time zone of cron_schedule, such as Europe/Zurich; default: UTC"}
    )
    schedule_each_job: bool = field(
        default=False, metadata={"help": "a schedule of its own for every job of a sweep, named after its overrides"}
    )

    def rate(self) -> tuple[int, str] | None:
        """Return value and unit (``m``, ``h`` or ``d``) of the fixed rate, or None."""
        match = _RATE.fullmatch(self.fixed_rate or "")
        return None if match is None else (int(match["value"]), match["unit"][0])

    def given_version(self) -> str | None:
        """Return the version asked for, under either spelling, or None."""
        return self.version or self.target_image_version


@dataclass
class NotificationConfig:
    """Who is told about which phases."""

    type: str = field(
        default="email",
        metadata={
            "help": "email, slack or pagerduty; on the embedded backend, and with once_per_sweep, also webhook, "
            "command or file"
        },
    )
    phases: list[str] = field(
        default_factory=list,
        metadata={"help": "SUCCEEDED, FAILED, ABORTED, TIMED_OUT: those to tell about; default: all four"},
    )
    recipients: list[str] = field(
        default_factory=list, metadata={"help": "mail addresses; or addresses, command lines, paths of files"}
    )
    once_per_sweep: bool = field(
        default=False,
        metadata={
            "help": "one message when the sweep has ended, sent by the waiting launcher (webhook, command, file), "
            "instead of one per job"
        },
    )


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
    max_failures: int | None = field(
        default=None, metadata={"help": "that many failed jobs cancel the rest; default: none does"}
    )
    max_concurrency: int | None = field(
        default=None, metadata={"help": "most jobs of one sweep in flight; default: all"}
    )
    resume: str | None = field(default=None, metadata={"help": "a sweep id or last: run only what has not succeeded"})
    resume_changed: bool = field(
        default=False,
        metadata={"help": "resume although code, config or overrides differ; what is not the same runs anew"},
    )
    objective: Any = field(  # Any: a name, or a list of names; OmegaConf has no type for both
        default=None,
        metadata={"help": "name of the output that the sweeper is to compare, or a list of names; default: the output"},
    )
    package: str | None = field(
        default=None,
        metadata={
            "help": "write a versioned artifact to this file and touch no backend, as `hydraflyte package` does; "
            "the standard Flyte package if its name ends in .tgz"
        },
    )
    dry_run: bool = field(default=False, metadata={"help": "print the plan and touch nothing"})
    workflow: WorkflowConfig = field(default_factory=WorkflowConfig, metadata={"help": "what is registered"})
    notifications: list[NotificationConfig] = field(default_factory=list, metadata={"help": "who is told what"})

    def __post_init__(self) -> None:
        problems = list(self._misfits())
        if len(problems) == 1:
            raise ConfigError(problems[0].text, hint=problems[0].hint)
        if problems:
            lines = "\n".join(f"  - {problem.text}" for problem in problems)
            hints = " ".join(f"({number}) {problem.hint}" for number, problem in enumerate(problems, start=1))
            raise ConfigError(f"{len(problems)} settings under {PREFIX} do not fit:\n{lines}", hint=hints)

    def insecure_wanted(self) -> bool | None:
        """Return what ``insecure`` asks for; None means auto."""
        return self.insecure if isinstance(self.insecure, bool) else None

    def objectives(self) -> tuple[str, ...]:
        """Return the names of the objectives, in order; none means the output as it is."""
        if self.objective is None:
            return ()
        return (self.objective,) if isinstance(self.objective, str) else tuple(self.objective)

    def failures_allowed(self) -> int | None:
        """Return how many failed jobs end the sweep; None means that none does."""
        return 1 if self.on_failure is OnFailure.fail_fast else self.max_failures

    def failure_setting(self) -> str:
        """Return the setting that says so."""
        is_first = self.on_failure is OnFailure.fail_fast
        return "on_failure=fail_fast" if is_first else f"max_failures={self.max_failures}"

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
        yield from _sweep_problems(self)
        yield from _workflow_problems(self.workflow)
        yield from _image_problems(self)
        for index, notification in enumerate(self.notifications):
            yield from _notification_problems(f"notifications[{index}]", notification, waits=self.wait)


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
        f"did you mean {PREFIX}.endpoint={meant}?" if meant else f"for a host, add its port: {endpoint}:443.",
    )


def _sweep_problems(settings: LauncherConfig) -> Iterator[Problem]:
    most = settings.max_failures
    if most is not None and most < 1:
        yield Problem(
            f"{PREFIX}.max_failures is {most}: the sweep would end before it began.",
            f"set {PREFIX}.max_failures to 1 or more, or leave it out.",
        )
    if most not in (None, 1) and settings.on_failure is OnFailure.fail_fast:
        yield Problem(
            f"{PREFIX}.on_failure=fail_fast and {PREFIX}.max_failures={most} cannot both hold.",
            f"keep one: fail_fast is {PREFIX}.max_failures=1.",
        )
    if settings.resume_changed and settings.resume is None:
        yield Problem(
            f"{PREFIX}.resume_changed=true without {PREFIX}.resume: there is nothing to go on with.",
            f"set {PREFIX}.resume=last or to a sweep's id, or leave out {PREFIX}.resume_changed.",
        )
    names = settings.objective
    if not (names is None or isinstance(names, str) or _is_list_of_names(names)):
        yield Problem(
            f"{PREFIX}.objective={names!r} is neither a name nor a list of names.",
            f"write {PREFIX}.objective=loss or {PREFIX}.objective=[loss,accuracy].",
        )


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


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
    if workflow.cron_schedule is not None and workflow.fixed_rate is not None:
        yield Problem(
            f"{PREFIX}.workflow has both cron_schedule={workflow.cron_schedule!r} and "
            f"fixed_rate={workflow.fixed_rate!r}.",
            "keep one of them.",
        )
    if workflow.fixed_rate is not None and _RATE.fullmatch(workflow.fixed_rate) is None:
        yield Problem(
            f"{PREFIX}.workflow.fixed_rate={workflow.fixed_rate!r} is no whole number of minutes, hours or days.",
            "write 15m, 6h or 1d.",
        )
    if workflow.schedule_timezone is not None and workflow.cron_schedule is None:
        yield Problem(
            f"{PREFIX}.workflow.schedule_timezone={workflow.schedule_timezone} belongs to no cron schedule.",
            f"set {PREFIX}.workflow.cron_schedule too; a fixed rate has no time zone.",
        )


def _image_problems(settings: LauncherConfig) -> Iterator[Problem]:
    workflow = settings.workflow
    places = {"default_image": workflow.default_image}
    places |= {f"extra_images[{index}]": image for index, image in enumerate(workflow.extra_images)}
    for place, image in places.items():
        yield from _one_image_problems(f"{PREFIX}.workflow.{place}", image)
    if settings.build_images is True and not any(image.target_image for image in places.values()):
        yield Problem(
            f"{PREFIX}.build_images=true, and no image names what is to be built.",
            f"set {PREFIX}.workflow.default_image.target_image, or leave out build_images.",
        )
    yield from _name_problems(places)


def _one_image_problems(key: str, image: ImageConfig) -> Iterator[Problem]:
    for name in ("base_image", "target_image"):
        version = getattr(image, f"{name}_version")
        if version is not None and getattr(image, name) is None:
            yield Problem(f"{key}.{name}_version={version} names a tag, but no image.", f"set {key}.{name} too.")
    if image.builder not in BUILDERS:
        yield _not_a_choice(f"{key.removeprefix(PREFIX + '.')}.builder", image.builder, BUILDERS)
    if image.build_timeout_s <= 0:
        yield Problem(
            f"{key}.build_timeout_s is {image.build_timeout_s}: no build could ever end.",
            f"set {key}.build_timeout_s to a number of seconds, or leave it out.",
        )
    target, base = image.reference(), image.base_reference()
    if image.target_image is not None and target == base:
        yield Problem(
            f"{key}: base and target are both {target}: the image would be built on itself.",
            f"give {key}.target_image or target_image_version another name.",
        )


def _name_problems(places: dict[str, ImageConfig]) -> Iterator[Problem]:
    """Yield extra images that tasks could not tell apart, or not refer to."""
    names: dict[str, str] = {"default": "default_image"}
    targets: dict[str, str] = {}
    for place, image in places.items():
        key = f"{PREFIX}.workflow.{place}"
        if place != "default_image" and not image.flyte_image_name:
            yield Problem(f"{key} has no flyte_image_name: no task could refer to it.", f"set {key}.flyte_image_name.")
        elif place != "default_image" and image.flyte_image_name in names:
            taken = names[image.flyte_image_name]
            yield Problem(
                f"{key}.flyte_image_name={image.flyte_image_name} is the name of {taken} already.",
                "give every extra image a name of its own.",
            )
        names.setdefault(image.flyte_image_name or "", place)
        if place != "default_image" and not image.target_image and not image.base_image:
            yield Problem(f"{key} names no image.", f"set {key}.base_image, or target_image for one to be built.")
        if image.target_image in targets:
            yield Problem(
                f"{key}.target_image={image.target_image} is that of {targets[image.target_image]} too.",
                "give every image that is built a repository of its own: their tags would overwrite each other.",
            )
        elif image.target_image is not None:
            targets[image.target_image] = place


def _notification_problems(key: str, notification: NotificationConfig, *, waits: bool) -> Iterator[Problem]:
    if notification.type not in (*MAIL_KINDS, *LOCAL_KINDS):
        yield _not_a_choice(f"{key}.type", notification.type, (*MAIL_KINDS, *LOCAL_KINDS))
        return
    for phase in notification.phases:
        if phase.upper() not in NOTIFIED_PHASES:
            yield _not_a_choice(f"{key}.phases", phase.upper(), NOTIFIED_PHASES)
    if not notification.recipients:
        yield Problem(f"{PREFIX}.{key} has no recipients: nobody would be told.", f"set {PREFIX}.{key}.recipients.")
    for recipient in notification.recipients:
        yield from _recipient_problems(key, notification.type, recipient)
    if not notification.once_per_sweep:
        return
    if notification.type in MAIL_KINDS:
        yield Problem(
            f"{PREFIX}.{key}.once_per_sweep does not go with type={notification.type}: Flyte sends those, and only at "
            "the end of an execution.",
            "take type webhook, command or file, which the launcher sends, or leave out once_per_sweep.",
        )
    if not waits:
        yield Problem(
            f"{PREFIX}.{key}.once_per_sweep does not go with wait=false: nobody is there when the sweep ends.",
            f"leave {PREFIX}.wait at its default.",
        )


def _recipient_problems(key: str, kind: str, recipient: str) -> Iterator[Problem]:
    if kind in MAIL_KINDS and ("@" not in recipient or recipient.partition(":")[0] in LOCAL_KINDS):
        yield Problem(
            f"{PREFIX}.{key}: {recipient!r} is no mail address.",
            "Slack and PagerDuty have mail addresses for channels and services; for a URL take type=webhook.",
        )
    if kind == "webhook" and not recipient.startswith(("http://", "https://")):
        yield Problem(f"{PREFIX}.{key}: {recipient!r} is no http address.", "write http://… or https://….")


def _not_a_choice(key: str, value: object, choices: tuple[str, ...]) -> Problem:
    meant = nearest(str(value), choices)
    hint = f"did you mean {PREFIX}.{key}={meant}?" if meant else f"set {PREFIX}.{key} to one of {', '.join(choices)}."
    return Problem(f"{PREFIX}.{key}={value!r} is none of {', '.join(choices)}.", hint)

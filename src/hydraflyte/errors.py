"""Every error that hydraflyte raises on purpose.

One base class; a class per thing that a caller can act on. The message says what happened, with the values;
the required hint says how to fix it. This module imports nothing of the package.
"""

from __future__ import annotations

from collections.abc import Sequence


class HydraFlyteError(Exception):
    """Base of all errors meant for the user.

    Args:
        message: what happened, with the values involved.
        hint: what to do next: a command, a config key, or an edit.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}"


class ConfigError(HydraFlyteError):
    """A value under ``hydra.launcher`` or on the command line does not fit."""


class DiscoveryError(HydraFlyteError):
    """The workflow, its module or its entities cannot be found or imported."""


class VersionError(HydraFlyteError):
    """No version can be derived, or the tree is not in the state that was asked for."""


class PackagingError(HydraFlyteError):
    """The code bundle cannot be built, or cannot be imported when unpacked elsewhere."""


class ImageError(HydraFlyteError):
    """An image cannot be built, pushed, or found in its registry."""


class ArtifactError(HydraFlyteError):
    """A package file is damaged, holds what none may hold, or is of a later format; nothing of it was registered."""


class ReproductionError(HydraFlyteError):
    """An execution cannot be reproduced: its code, an input or its registration is gone."""


class RegistrationError(HydraFlyteError):
    """An entity was refused by the backend, or its version is taken by other content."""


class ScheduleError(HydraFlyteError):
    """A schedule is empty, or its expression cannot be read."""


class VersionTakenError(RegistrationError):
    """An entity is registered under this version already, with other content."""


class NotRegisteredError(HydraFlyteError):
    """There is no such launch plan, or no such version of it."""


class NotificationError(HydraFlyteError):
    """A recipient of notifications cannot be one, or no mail server is set."""


class InputsError(HydraFlyteError):
    """The composed config does not fit the workflow's interface."""


class ExecutionError(HydraFlyteError):
    """A Flyte execution could not be created, or ended in another phase than SUCCEEDED."""


class ExecutionFailedError(ExecutionError):
    """A job's execution ended in another phase than SUCCEEDED. Raised by the job's ``JobReturn.return_value``.

    Args:
        execution: ``project/domain/name`` of the execution.
        phase: the phase it ended in, by flyteidl's name.
        traceback_text: what the user's code raised, with its frames; empty if no code of the user raised.
    """

    def __init__(self, message: str, *, hint: str, execution: str, phase: str, traceback_text: str) -> None:
        super().__init__(message, hint=hint)
        self.execution = execution
        self.phase = phase
        self.traceback_text = traceback_text


class SweepError(HydraFlyteError):
    """A sweep cannot be found, or cannot be gone on with as asked."""


class StillRunningError(ExecutionError):
    """An execution has not ended within the time that was given to wait for it; it goes on."""


class BackendRefusedError(HydraFlyteError):
    """The backend answered a request with an error.

    Args:
        code: the gRPC status by name, such as ``INVALID_ARGUMENT``.
    """

    def __init__(self, message: str, *, hint: str, code: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class BackendUnavailableError(HydraFlyteError):
    """No backend answers at the endpoint."""


class LoginError(BackendUnavailableError):
    """The backend asks who this is, and no token can be had."""


class BackendStartError(HydraFlyteError):
    """The embedded backend cannot start: port taken, home not writable, another backend on the same home."""


class CompilationError(HydraFlyteError):
    """A workflow template is not valid. Holds every problem found, not only the first.

    Args:
        problems: one line per problem, ``<code>: node <id>: <text>``, in the order found.
    """

    def __init__(self, message: str, *, hint: str, problems: Sequence[str]) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class InvalidTransitionError(HydraFlyteError):
    """The engine's tables have no row for what happened: a defect in hydraflyte, never the user's fault."""

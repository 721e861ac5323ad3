"""Where the embedded backend runs tasks: a choice that a user makes once, when the backend starts."""

from __future__ import annotations

from enum import Enum


class TaskRuntime(Enum):
    """What becomes of a task's image."""

    PROCESS = "process"
    """Tasks are processes of this machine; their images are recorded and not used."""
    DOCKER = "docker"
    """Tasks are containers of their images, run by ``docker``."""
    PODMAN = "podman"
    """Tasks are containers of their images, run by ``podman``."""

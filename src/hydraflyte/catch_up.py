"""What becomes of fire times that passed while nobody could begin them: a choice, and where a launch plan makes it."""

from __future__ import annotations

from enum import Enum

CATCH_UP_ANNOTATION = "hydraflyte.org/catch-up"
"""Annotation of a launch plan that says what the embedded backend does about its missed fire times."""


class CatchUp(Enum):
    """What becomes of fire times that passed while the backend was down or the machine asleep."""

    NONE = "none"
    """Nothing: they are left out."""
    LAST = "last"
    """The last one of a schedule is made up for."""
    ALL = "all"
    """Each is made up for, in order and never many at once."""

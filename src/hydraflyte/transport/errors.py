"""What can go wrong when a config travels.

One error for everything a caller can act on. It is deliberately no ``TypeError``: flytekit replaces those by a
message of its own (``TypeEngine.dict_to_literal_map``), which would hide the hint.
"""

from __future__ import annotations

from hydraflyte.errors import HydraFlyteError


class TransportError(HydraFlyteError):
    """A config cannot be written as a literal, or a literal cannot be read as a config."""


class TransportWarning(UserWarning):
    """A config arrived, but a class that it names is not available here: those nodes are plain."""


def damaged(what: str) -> TransportError:
    """Return the error for a literal that this package cannot have written."""
    return TransportError(
        f"The literal is not a readable config: {what}.",
        hint="it is damaged, forged, or of a newer hydraflyte: write it again, or use the same version on both sides",
    )

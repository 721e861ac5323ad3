"""Whether the project and the domain that somebody asked for are there, and which ones were meant if not.

Rule: asked only where it pays: before a package is delivered, and when a backend has refused a registration.
"""

from __future__ import annotations

from hydraflyte.config import nearest
from hydraflyte.errors import ConfigError
from hydraflyte.launcher.remote import FlyteClient

_MOST_SHOWN = 10


def misplaced(client: FlyteClient, project: str, domain: str, *, setting: str) -> ConfigError | None:
    """Return what is wrong with a place, or None if it is there or nobody can tell.

    Args:
        setting: how the user says it, with ``{}`` for ``project`` or ``domain``: ``"--{} "``.
    """
    for kind, asked, known in (("project", project, client.projects()), ("domain", domain, client.domains())):
        if not known or asked in known:
            continue
        meant = nearest(asked, known)
        name = setting.format(kind)
        shown = ", ".join((*known[:_MOST_SHOWN], *(["…"] if len(known) > _MOST_SHOWN else [])))
        return ConfigError(
            f"There is no {kind} {asked!r} at {client.endpoint.place}; its {kind}s are {shown}.",
            hint=f"did you mean {name}{meant}?" if meant else f"choose one of them with {name.rstrip(' =')}.",
        )
    return None

"""What this interpreter has installed. Also run by path, by any interpreter: imports the standard library alone."""

from __future__ import annotations

import json
import platform
from importlib.metadata import distributions

EDITABLE = " (editable)"
"""Ends the version of a package that is a folder somewhere: its code may change without it."""


def installed_packages() -> dict[str, str]:
    """Return name -> version of every distribution that can be imported."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if not name or name in found:  # the first one on the path counts
            continue
        origin = distribution.read_text("direct_url.json") or ""
        is_editable = bool(json.loads(origin).get("dir_info", {}).get("editable")) if origin else False
        found[name] = f"{distribution.version}{EDITABLE if is_editable else ''}"
    return dict(sorted(found.items()))


if __name__ == "__main__":
    print(json.dumps({"python": platform.python_version(), "packages": installed_packages()}))  # noqa: T201 - its answer

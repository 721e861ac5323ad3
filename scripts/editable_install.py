"""Build hook: an editable install also brings what the examples need.

Examples live in a checkout only, and a checkout is what ``pip install -e .`` installs; a built wheel stays lean.
The requirements stand once, in the extra ``examples`` of pyproject.toml. See docs/decisions/0070.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class EditableInstallHook(BuildHookInterface[Any]):
    """Adds the extra ``examples`` to the dependencies of an editable wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            build_data["dependencies"] += self.metadata.core.optional_dependencies["examples"]

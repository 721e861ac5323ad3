"""flytekit makes two folders below the temporary one whenever it is imported, and leaves them: they go when we end.

One rule: only folders that this very process has made. Imports nothing that is not imported already.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache


@cache
def remove_flytekits_folders_at_exit() -> None:
    """Have the folders removed when this process ends; not for programs whose results may lie in them."""
    atexit.register(_remove, os.getpid())


def _remove(maker: int) -> None:
    if os.getpid() == maker:  # a fork runs its parent's handlers too
        for folder in _folders():
            shutil.rmtree(folder, ignore_errors=True)


def _folders() -> Iterator[str]:
    for module, owner, name in (
        ("flytekit.core.data_persistence", None, "flyte_tmp_dir"),
        ("flytekit.configuration", "Config", "local_sandbox_path"),
    ):
        holder: object = sys.modules.get(module)
        folder = getattr(holder if owner is None else getattr(holder, owner, None), name, None)
        if isinstance(folder, str) and os.path.basename(folder).startswith("flyte"):
            yield folder

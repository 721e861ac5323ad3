"""Which tests stay together on one of pytest-xdist's workers: those of a file, for they share what the file sets up.

A file named here shares nothing and takes minutes: its tests are dealt out one by one, or the run ends waiting for it.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

DEALT_OUT = frozenset({"tests/docs/test_pages.py", "tests/hydra/test_launch.py", "tests/hydra/test_sweeps.py"})


class _FilesOrTests(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return nodeid if file in DEALT_OUT else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    return _FilesOrTests(config, log)

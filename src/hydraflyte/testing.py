"""Pytest fixtures for projects that run on Flyte: a real embedded backend, thrown away after the tests.

Use with ``pytest_plugins = ["hydraflyte.testing"]`` in ``conftest.py``. Imports neither grpc nor flytekit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from hydraflyte.embedded import BackendOptions, start_backend, stop_backend
from hydraflyte.home import Home, RunningBackend

_OF_ANOTHER_BACKEND = ("FLYTE_PLATFORM_", "FLYTE_CREDENTIALS_")


@pytest.fixture(scope="session")
def flyte_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBackend]:
    """An embedded backend on free ports and a home of its own, for all tests of the session.

    While the tests run, ``HYDRAFLYTE_HOME`` names that home and ``FLYTECTL_CONFIG`` its client config, so that
    launchers, ``pyflyte`` and ``FlyteRemote(Config.auto())`` started by the tests talk to it. Variables that name
    another backend, as they are set in CI, are hidden from them.

    Raises:
        BackendStartError: the backend cannot start.
    """
    home = Home(root=tmp_path_factory.mktemp("hydraflyte-home"))
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith(_OF_ANOTHER_BACKEND)]:
            environment.delenv(name)
        running = start_backend(home, BackendOptions(port=0))
        environment.setenv("HYDRAFLYTE_HOME", running.home)
        environment.setenv("FLYTECTL_CONFIG", running.config)
        yield running
    stop_backend(home)

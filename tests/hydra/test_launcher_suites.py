"""Hydra's own conformance suites for launchers, on ours.

Their jobs are plain functions without a Flyte workflow, so they run with ``execution_environment=local``.
"""

from __future__ import annotations

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

HERE = "hydra.launcher.execution_environment=local"

pytestmark = pytest.mark.filterwarnings(
    "ignore:Future Hydra versions will no longer change working directory:UserWarning",  # Hydra 1.3, test apps
)


def test_hydra_finds_the_launcher() -> None:
    names = {plugin.__name__ for plugin in Plugins.instance().discover(Launcher)}

    assert "FlyteLauncher" in names


@pytest.mark.parametrize(("launcher_name", "overrides"), [("flyte", [HERE]), ("hydraflyte", [HERE])])
class TestLauncher(LauncherTestSuite):
    """Sweeps of the basic sweeper."""


@pytest.mark.parametrize(("launcher_name", "overrides"), [("flyte", [HERE, "hydra.sweeper.max_batch_size=2"])])
class TestLauncherInBatches(BatchedSweeperTestSuite):
    """Sweeps in several batches: job numbers go on where the last batch ended."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({}, ["-m", "hydra/launcher=flyte", HERE])],
)
class TestLauncherIntegration(IntegrationTestSuite):
    """Whole programs in processes of their own."""

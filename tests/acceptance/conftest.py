"""What the acceptance tests share: a FlyteRemote on the embedded backend, and one way to run a workflow on it."""

from pathlib import Path

import pytest

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture(scope="session")
def remote(flyte_backend):
    """An unmodified FlyteRemote that talks to the backend through its client config file."""
    from flytekit.configuration import Config
    from flytekit.remote import FlyteRemote

    config = Config.auto(config_file=flyte_backend.config)
    return FlyteRemote(config, default_project="flytesnacks", default_domain="development")


@pytest.fixture(scope="session")
def run(remote):
    """Register a workflow of ``flows`` as a script and run it to its end; returns the FlyteWorkflowExecution."""

    def run_to_the_end(workflow, **inputs):
        registered = remote.register_script(workflow, source_path=str(FLOWS), module_name=workflow.__module__)
        return remote.execute(registered, inputs=inputs, wait=True)

    return run_to_the_end

"""All tests may ask for an embedded backend, which the package gives to its users too, and for image tools."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

pytest_plugins = ["hydraflyte.testing", "tests.image_tools", "tests.scheduling"]


@pytest.fixture(scope="session", autouse=True)
def no_home_of_the_users() -> Iterator[None]:
    """Keep tests from the home of whoever runs them: one that asks for no backend cannot start one either."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HYDRAFLYTE_HOME", f"{os.devnull}/the-home-that-no-test-may-use")
        yield

"""All tests may ask for an embedded backend, which the package gives to its users too, and for image tools."""

pytest_plugins = ["hydraflyte.testing", "tests.image_tools", "tests.scheduling"]

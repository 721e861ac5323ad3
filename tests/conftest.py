"""All tests may ask for a real embedded backend, which the package gives to its users too, and for image tools."""

pytest_plugins = ["hydraflyte.testing", "tests.image_tools"]

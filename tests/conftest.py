"""All tests may ask for a real embedded backend (the fixture that the package gives to its users) and for image tools."""

pytest_plugins = ["hydraflyte.testing", "tests.image_tools"]

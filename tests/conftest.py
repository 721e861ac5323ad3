"""All tests may ask for a real embedded backend: the fixture that the package gives to its users."""

pytest_plugins = ["hydraflyte.testing"]

"""The ``hydraflyte`` command: one module a noun. Doors: they read arguments and environment, and print."""

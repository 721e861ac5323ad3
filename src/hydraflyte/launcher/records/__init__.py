"""What is known of a sweep: its manifest, its executions on the backend, its results.

Imports no flytekit, so that the command line can tell of sweeps at once.
"""

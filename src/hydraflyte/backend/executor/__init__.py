"""Runs attempts as processes: forked from a warm interpreter, each in a directory of its own."""

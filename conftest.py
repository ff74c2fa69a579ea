"""Loads plugins; nothing else."""

pytest_plugins = ["conformance.plugin", "tests.faults.score"]

"""Builds twins: tiny trained checkpoints with a model's real architecture, saved as ordinary checkpoint directories.

Whatever is random is seeded, and training runs on one thread, so that a twin is the same bytes each time it is built on
a machine with the same versions. Only ``zoo.checkpoints`` builds; what twins are shown and told is there for the suite, too.
"""

from zoo.twins.builder import build, build_full, spec

__all__ = ["build", "build_full", "spec"]

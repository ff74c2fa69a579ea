"""What several tests need."""

import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def scratch():
    """A directory for another process's temporary files, sockets among them, whose paths must be short."""
    with tempfile.TemporaryDirectory(prefix="zoo-") as directory:
        yield Path(directory)

"""What several tests need: a twin, and its program from the artifact cache."""

import pytest

from conformance.quiet import quiet

quiet()


@pytest.fixture(scope="session")
def gemma3_twin():
    """The checkpoint directory of the Gemma 3 twin."""
    from zoo.checkpoints import resolve
    from zoo.models.gemma3 import GEMMA3_270M

    return resolve(GEMMA3_270M)


@pytest.fixture(scope="session")
def artifact(gemma3_twin):
    """The Gemma 3 twin with custom SDPA, custom and ring caches, lowered to XNNPACK: the cell of the suite itself."""
    from conformance.artifacts import cached_export
    from exporters import ExportConfig

    config = ExportConfig.from_id("xnnpack-fp32-sdpa-kv", max_seq_len=64)
    return cached_export(gemma3_twin, config, task="text-generation")[0]


@pytest.fixture(scope="session")
def program(artifact, tmp_path_factory):
    """A copy of the artifact's program without its account, so that nothing but the file itself speaks for it."""
    path = tmp_path_factory.mktemp("program") / "model.pte"
    path.write_bytes(artifact.program.read_bytes())
    return path

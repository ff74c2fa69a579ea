import pytest

from conformance.artifacts import cached_export


class ExportedAnewError(Exception):
    pass


@pytest.fixture
def _export_would_fail(artifact, monkeypatch):
    def fail(*_, **__):
        raise ExportedAnewError

    monkeypatch.setattr("exporters.pipeline.export", fail)


@pytest.mark.usefixtures("_export_would_fail")
def test_a_second_export_is_the_first_one(artifact, gemma3_twin):
    again, cached = cached_export(gemma3_twin, artifact.config, task="text-generation")
    assert cached
    assert again == artifact


@pytest.mark.usefixtures("_export_would_fail")
def test_whatever_determines_an_artifact_makes_another_one(artifact, gemma3_twin, tmp_path, monkeypatch):
    import dataclasses
    import shutil

    with pytest.raises(ExportedAnewError):
        cached_export(gemma3_twin, dataclasses.replace(artifact.config, max_seq_len=63), task="text-generation")
    other = shutil.copytree(gemma3_twin, tmp_path / "checkpoint")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    with pytest.raises(ExportedAnewError):
        cached_export(other, artifact.config, task="text-generation")
    monkeypatch.setattr("conformance.artifacts.source_sha256", lambda _: "another source")
    with pytest.raises(ExportedAnewError):
        cached_export(gemma3_twin, artifact.config, task="text-generation")

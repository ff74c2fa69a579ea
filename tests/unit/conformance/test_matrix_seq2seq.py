"""What does not apply to encoders with decoders, and to models that listen, and why: against what the exporter says."""

import dataclasses

import pytest
import torch

from conformance import matrix
from conformance.matrix import Cell
from conformance.sessions.module import Seq2SeqModuleSession
from exporters import ExportConfig
from exporters.errors import NotApplicableError
from exporters.pipeline import load_model, register_operators
from exporters.quantize import quantize
from exporters.wrappers import wrap
from zoo import registry
from zoo.checkpoints import resolve

MODELS = tuple(model for model in registry.models().values() if model.wrapper in (matrix.SEQ2SEQ, matrix.CTC))
CELLS = [Cell(model, name) for model in MODELS for name in matrix.configurations(model)]


def refusal(cell):
    """What the exporter says of a cell; ``None`` if it refuses nothing."""
    register_operators()
    longest = {"max_seq_len": 64, "max_source_len": None if "listens" in cell.model.traits else 48}
    config = ExportConfig.from_id(cell.configuration, **longest)
    if config.use_custom_sdpa:
        # In eager PyTorch the operator computes in fp32 only (executorch 1.4.1).
        config = dataclasses.replace(config, dtype="fp32")
    network = load_model(resolve(cell.model), task=cell.model.task, dtype=config.dtype)
    try:
        quantize(network, config)
        wrapper = wrap(network, cell.model.task, config)
        if cell.model.wrapper == matrix.SEQ2SEQ and config.use_custom_sdpa:
            session = Seq2SeqModuleSession(wrapper)
            session.condition({str(index): each for index, each in enumerate(wrapper.source.example(network.dtype))})
            session.forward(torch.tensor([[0]]), 0)
    except NotApplicableError as error:
        return str(error)
    return None


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_what_the_matrix_leaves_out_is_what_the_exporter_refuses(cell):
    said = refusal(cell)
    assert (cell.inapplicable is None) == (said is None), said


def test_every_option_of_the_encoder_is_run_by_every_reader_of_text():
    for model in MODELS:
        if model.task == "text2text-generation":
            configs = [
                ExportConfig.from_id(name) for name in matrix.configurations(model) if Cell(model, name).inapplicable is None
            ]
            assert {config.qlinear_encoder for config in configs} >= {None, "8da4w", "8da8w", "8w", "4w"}
            assert {config.qembedding_encoder for config in configs} == {None, "8w", "4w"}
            assert {config.quantize_kv_cache for config in configs} == {True, False}
            assert {config.dynamic_shapes for config in configs} == {True, False}


def test_a_share_of_the_pool_is_run_by_default():
    for model in MODELS:
        assert len(matrix.configurations(model, "default")) >= len(matrix.CORE[model.wrapper]) + matrix.SHARE

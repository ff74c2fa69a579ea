"""Which cells there are, which are refused and which mean nothing."""

import pytest

from conformance import matrix
from conformance.matrix import Cell
from exporters.config import ExportConfig
from exporters.errors import ExportError
from zoo import registry
from zoo.errors import ZooError
from zoo.models.gemma3 import GEMMA3_270M
from zoo.models.qwen3 import QWEN3_0_6B

IDS = matrix.CONFIGURATIONS["text-generation"]


def test_every_configuration_id_of_the_matrix_is_one_and_stands_there_once():
    for ids in matrix.CONFIGURATIONS.values():
        assert [ExportConfig.from_id(name).id for name in ids] == list(ids)
        assert len(set(ids)) == len(ids)


def test_every_registered_model_has_configurations():
    assert all(matrix.configurations(model) for model in registry.models().values())


def test_cells_are_all_pairs_model_by_model_in_the_order_of_the_columns():
    models = (QWEN3_0_6B, GEMMA3_270M)
    assert matrix.cells(models) == tuple(Cell(model, name) for model in models for name in IDS)


def test_chosen_configurations_keep_the_order_of_the_columns():
    assert [cell.configuration for cell in matrix.cells((QWEN3_0_6B,), (IDS[2], IDS[0]))] == [IDS[0], IDS[2]]


def test_a_cell_is_named_model_at_configuration():
    assert Cell(QWEN3_0_6B, "xnnpack-fp32").name == "qwen3-0.6b@xnnpack-fp32"


def test_a_configuration_that_is_not_in_the_matrix_is_refused_with_the_nearest_ones():
    with pytest.raises(ZooError) as caught:
        matrix.cells((QWEN3_0_6B,), ("xnnpack-fp32-kv",))
    assert "unknown configuration 'xnnpack-fp32-kv'" in str(caught.value)
    assert "'xnnpack-fp32-sdpa-kv'" in str(caught.value)


def test_a_text_that_is_no_configuration_id_is_refused_with_the_grammar():
    with pytest.raises(ExportError, match=r"'fast' is no configuration id.*recipe-dtype"):
        matrix.cells((QWEN3_0_6B,), ("fast",))


@pytest.mark.parametrize("name", ["xnnpack-fp32-8da4w", "xnnpack-fp32-emb8w", "xnnpack-fp32-sdpa-kv-8da4w-emb8w"])
def test_quantized_weights_of_either_kind_make_a_configuration_quantized(name):
    assert matrix.quantized(name)


@pytest.mark.parametrize("name", ["portable-fp32", "xnnpack-fp32-sdpa-kv", "xnnpack-fp32-static"])
def test_an_unquantized_configuration_is_not_quantized(name):
    assert not matrix.quantized(name)

"""The matrix is data: ids are valid, tiers hold each other, options are covered, and rules agree with the exporter."""

import itertools

import pytest
import torch

from conformance import matrix
from conformance.matrix import CORE, NIGHTLY, OPTIONS, SMOKE, Cell
from conformance.pairwise import ROWS, SHARES
from exporters import ExportConfig, ExportError
from exporters.errors import NotApplicableError
from zoo import registry
from zoo.errors import ZooError
from zoo.models.mamba import MAMBA_130M
from zoo.models.qwen3 import QWEN3_0_6B
from zoo.models.smollm2 import SMOLLM2_135M

IDS = CORE[matrix.DECODER]
MODELS = tuple(registry.models().values())
DECODERS = tuple(model for model in MODELS if model.wrapper == matrix.DECODER)
ONE_PASS = tuple(model for model in MODELS if model.wrapper in (matrix.ENCODER, matrix.VISION))
COMBINED = tuple(
    dict.fromkeys(
        configuration
        for values in itertools.product(*OPTIONS.values())
        if (configuration := matrix.compose(dict(zip(OPTIONS, values, strict=True)))) is not None
    )
)
"""Every id that the options combine to and the exporter does not refuse."""


def test_ids_are_valid_and_listed_once():
    for ids in (*SMOKE.values(), *CORE.values(), *NIGHTLY.values(), ROWS):
        assert len(set(ids)) == len(ids)
        for name in ids:
            assert ExportConfig.from_id(name).id == name


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_each_tier_holds_the_ones_before_it(model):
    smoke, core, default, nightly = (set(matrix.configurations(model, tier)) for tier in matrix.TIERS)
    assert smoke < core < default <= nightly  # of a wrapper with one model, which takes all of the pool, there is no more
    assert len([name for name in smoke if Cell(model, name).inapplicable is None]) == 1


def test_every_pair_of_options_is_run_in_default():
    run = {pair for cell in matrix.cells(MODELS) if cell.inapplicable is None for pair in matrix.pairs(cell.configuration)}
    assert matrix.possible_pairs() - run == set()


@pytest.mark.parametrize("model", DECODERS, ids=lambda model: model.name)
def test_every_option_is_run_with_every_model_in_nightly(model):
    def values(ids):
        return {value for name in ids if Cell(model, name).inapplicable is None for value in matrix.parts(name).items()}

    assert values(COMBINED) - values(matrix.configurations(model)) == set()


@pytest.mark.parametrize("wrapper", matrix.POOL)
def test_the_shares_of_a_wrappers_models_hold_the_whole_pool(wrapper):
    models = tuple(model for model in MODELS if model.wrapper == wrapper)
    run = {cell.configuration for cell in matrix.cells(models) if cell.inapplicable is None}
    assert set(matrix.POOL[wrapper]) - run == set()


def test_an_id_and_its_parts_are_one():
    for name in COMBINED:
        assert matrix.compose(matrix.parts(name)) == name


def test_shares_are_of_models_and_apply_to_them():
    assert set(SHARES) <= set(registry.models())
    for name, rows in SHARES.items():
        model = registry.get(name)
        taken = [row if "recurrent" not in model.traits else matrix.one_token(row) for row in rows]
        assert [row for row in taken if Cell(model, row).inapplicable] == []


def test_a_new_model_has_a_share_by_its_name():
    stranger = QWEN3_0_6B.__class__(**{**QWEN3_0_6B.__dict__, "name": "brand-new"})
    assert set(matrix.configurations(stranger, "default")) - set(IDS) <= set(ROWS)
    assert len(matrix.configurations(stranger, "default")) > len(IDS)


@pytest.mark.parametrize("model", DECODERS, ids=lambda model: model.name)
def test_what_does_not_apply_is_what_the_exporter_refuses(model):
    """One configuration for each rule, and one that no rule is about: the exporter decides on the model itself."""
    from conformance.sessions.module import ModuleSession
    from exporters.pipeline import load_model, register_operators
    from exporters.wrappers.causal_lm import CausalLMExportableModule
    from zoo.checkpoints import resolve

    register_operators()
    checkpoint = resolve(model)
    for name in (
        "xnnpack-fp32-static",
        "xnnpack-fp32",
        "xnnpack-fp32-kv-static",
        "xnnpack-fp32-sdpa-kv-static",
        "xnnpack-fp32-sdpa-kv-sink4w28-static",
        "xnnpack-fp32-kv-lg16.0-static",
        "portable-fp32-shared-static",
    ):
        config = ExportConfig.from_id(name, max_seq_len=model.twin.max_seq_len)
        try:
            session = ModuleSession(CausalLMExportableModule(load_model(checkpoint, task=model.task), config))
            session.forward(torch.tensor([[3, 4, 5]]), 0)
            refused = None
        except NotApplicableError as error:
            refused = str(error)
        assert (refused is None) == (Cell(model, name).inapplicable is None), (name, refused)


@pytest.mark.parametrize("model", ONE_PASS, ids=lambda model: model.name)
def test_what_does_not_apply_to_a_model_of_one_pass_is_what_the_exporter_refuses(model):
    """All configurations of the model: it is quantized and wrapped, and not lowered."""
    from exporters.pipeline import load_model
    from exporters.quantize import quantize
    from exporters.wrappers import wrap
    from zoo.checkpoints import resolve

    checkpoint = resolve(model)
    for name in matrix.configurations(model):
        config = ExportConfig.from_id(name)
        network = load_model(checkpoint, task=model.task, dtype=config.dtype)
        try:
            quantize(network, config)
            wrap(network, model.task, config)
            refused = None
        except NotApplicableError as error:
            refused = str(error)
        assert (refused is None) == (Cell(model, name).inapplicable is None), (name, refused)


def test_cells_are_ordered_by_model_then_configuration():
    assert [cell.configuration for cell in matrix.cells((QWEN3_0_6B,), (IDS[2], IDS[0]))] == [IDS[0], IDS[2]]
    assert [cell.model for cell in matrix.cells((SMOLLM2_135M, QWEN3_0_6B), IDS[:1])] == [SMOLLM2_135M, QWEN3_0_6B]


def test_a_configuration_that_is_asked_for_is_found_in_any_tier():
    (only,) = set(NIGHTLY[matrix.DECODER][:1])
    assert [cell.configuration for cell in matrix.cells((QWEN3_0_6B,), (only,))] == [only]
    assert only not in matrix.configurations(QWEN3_0_6B, "smoke")


def test_a_configuration_that_exists_but_is_not_run_is_named():
    with pytest.raises(ZooError, match=r"unknown configuration 'xnnpack-fp32-kv'.*'zoo matrix' shows them"):
        matrix.cells((QWEN3_0_6B,), ("xnnpack-fp32-kv",))


def test_what_is_no_id_at_all_says_how_one_reads():
    with pytest.raises(ExportError, match="is no configuration id"):
        matrix.cells((QWEN3_0_6B,), ("fast",))


def test_a_tier_that_does_not_exist_is_named():
    with pytest.raises(ZooError, match=r"unknown tier 'weekly'.*smoke"):
        matrix.cells((QWEN3_0_6B,), tier="weekly")


def test_a_recurrent_model_is_run_token_by_token_and_says_why_not_otherwise():
    ids = matrix.configurations(MAMBA_130M, "default")
    assert {"xnnpack-fp32", "xnnpack-fp32-static"} <= set(ids)
    assert "one token a call" in Cell(MAMBA_130M, "xnnpack-fp32").inapplicable
    assert Cell(MAMBA_130M, "xnnpack-fp32-static").inapplicable is None


@pytest.mark.parametrize(
    "name",
    ["portable-bf16", "xnnpack-fp32-8w", "xnnpack-fp32-emb4w", "xnnpack-fp32-sdpa-kv8", "xnnpack-fp32-sdpa-kv-sink4w28"],
)
def test_a_configuration_that_rounds_or_forgets_reduces(name):
    assert matrix.reduces(name)


@pytest.mark.parametrize("name", ["portable-fp32-shared", "xnnpack-fp32-sdpa-kv-static"])
def test_a_configuration_that_does_neither_does_not(name):
    assert not matrix.reduces(name)


def test_what_the_exporter_refuses_is_told_with_its_reason():
    told = dict(matrix.refused())
    assert any("4w with portable" in options and "no kernel" in reason for options, reason in told.items())
    assert any("bf16 with 8da4w" in options or "8da4w" in options for options in told)
    assert all(reason.endswith(".") for reason in told.values())

"""Defects put into the exporter on purpose: each must be caught by the check that is there for it.

The exportable module is run in eager PyTorch here, so that a defect costs no lowering; the checks are the suite's own.
"""

import dataclasses
import json

import pytest
import torch

from conformance.compare.cache_state import Known, another, check_cache_state, fill
from conformance.compare.contract import realised
from conformance.compare.logits import compare_logits, judge_logits
from conformance.compare.tokens import compare_tokens, judge_tokens
from conformance.compare.tolerance import EXACT, tolerance
from conformance.generate import generate
from conformance.sessions.eager import EagerSession
from conformance.sessions.module import ModuleSession
from exporters import ExportConfig
from exporters.artifact import Artifact, LinearWeights
from exporters.attention.ring import RingCacheLayer
from exporters.pipeline import load_model
from exporters.quantize import quantize
from exporters.wrappers.causal_lm import CausalLMExportableModule

import executorch.extension.llm.custom_ops.custom_ops  # isort: skip  # noqa: F401 - registers llama::*

WINDOW = 16


QUANTIZED = ExportConfig.from_id("xnnpack-fp32-sdpa-kv-8da4w-emb8w", max_seq_len=64)


def load(checkpoint, quantized):
    model = load_model(checkpoint)
    if quantized:
        quantize(model, QUANTIZED)
    return model


@pytest.fixture(scope="module", params=(False, True), ids=("fp32", "8da4w"))
def quantized(request):
    """Whether model and baseline are quantized."""
    return request.param


@pytest.fixture(scope="module")
def reference(gemma3_twin, quantized):
    """Sequences, the eager session, and its logits of the sequence that fills the cache and of another one."""
    samples = json.loads((gemma3_twin / "reference.json").read_text())["samples"]
    sequences = [sample["tokens"] for sample in samples]
    eager = EagerSession(load(gemma3_twin, quantized), 64)
    tokens, other = torch.tensor([fill(sequences, 64)]), torch.tensor([sequences[another(sequences)]])
    whole = eager.forward(tokens, 0)
    eager.reset()
    return tokens, whole, other, eager.forward(other, 0), samples[0], eager


@pytest.fixture
def module(gemma3_twin, quantized):
    """A function that builds the exportable module of a configuration around a fresh model."""

    def build(configuration="xnnpack-fp32-sdpa-kv"):
        return CausalLMExportableModule(load(gemma3_twin, quantized), ExportConfig.from_id(configuration, max_seq_len=64))

    return build


def verdicts(module, reference, quantized):
    """Status of the checks ``logits``, ``tokens`` and ``cache_state``."""
    tokens, whole, other, other_whole, sample, eager = reference
    session = ModuleSession(module)
    limits = tolerance(QUANTIZED) if quantized else EXACT
    prompt = sample["tokens"][: sample["prompt_length"]]
    said = [generate(each, prompt, max_new_tokens=64 - len(prompt)) for each in (eager, session)]
    session.reset()
    return {
        "logits": judge_logits(compare_logits(whole, session.forward(tokens, 0)), limits).status,
        "tokens": judge_tokens([compare_tokens(*said, tie=2e-3)], against="eager").status,
        "cache_state": check_cache_state(
            session, Known(tokens, whole), Known(other, other_whole), window=WINDOW, tolerance=limits
        ).status,
    }


@pytest.mark.parametrize("configuration", ["xnnpack-fp32", "xnnpack-fp32-sdpa-kv"])
def test_the_sound_module_passes_every_check(module, reference, quantized, configuration):
    assert set(verdicts(module(configuration), reference, quantized).values()) == {"pass"}


def c_remainder(monkeypatch, module):
    """The remainder of executorch 1.4.1's portable kernel: a negative dividend keeps its sign."""
    original = RingCacheLayer.key_positions

    def positions(self, at):
        slots, newest = torch.arange(self.capacity), at[:1] - 1
        held = newest - torch.fmod(newest - slots, self.capacity)
        held = torch.where(held >= 0, held, -(2**30))
        count, offset = original(self, at)
        return count, torch.cat([held - torch.arange(self.capacity), offset[self.capacity :]])

    monkeypatch.setattr(RingCacheLayer, "key_positions", positions)


def stale_ring(monkeypatch, module):
    """Slots that hold nothing of this sequence are taken for its past."""
    original = RingCacheLayer.key_positions

    def positions(self, at):
        count, offset = original(self, at)
        at_ring = torch.where(
            offset[: self.capacity] < -(2**29), at[:1] - 1 - torch.arange(self.capacity), offset[: self.capacity]
        )
        return count, torch.cat([at_ring, offset[self.capacity :]])

    monkeypatch.setattr(RingCacheLayer, "key_positions", positions)


def ring_too_small(monkeypatch, module):
    """The ring forgets one position too early."""
    module.cache[0] = RingCacheLayer(module.cache[0].shape, window=WINDOW - 1)


def ring_filled_backwards(monkeypatch, module):
    """A call of several tokens stores them in each other's slots."""
    original = torch.ops.llama.update_cache_with_indices
    monkeypatch.setattr(
        torch.ops.llama,
        "update_cache_with_indices",
        lambda values, cache, start, slots: original(values, cache, start, slots.flip(1).contiguous()),
    )


def positions_stop_at_half_the_cache(monkeypatch, module):
    rotary = module.model.model.rotary_emb
    forward = rotary.forward
    monkeypatch.setattr(rotary, "forward", lambda hidden, at, kind: forward(hidden, at.clamp(max=31), kind))


def window_off_by_one(monkeypatch, module):
    module.model.config.sliding_window -= 1


def window_dropped(monkeypatch, module):
    module.model.config.sliding_window = 1000


def query_norm_skipped(monkeypatch, module):
    module.model.model.layers[1].self_attn.q_norm = torch.nn.Identity()


def heads_permuted(monkeypatch, module):
    queries = module.model.model.layers[1].self_attn.q_proj
    forward = queries.forward
    monkeypatch.setattr(queries, "forward", lambda hidden: forward(hidden).unflatten(-1, (4, 32)).flip(-2).flatten(-2))


def embedding_row_off(monkeypatch, module):
    embedding = module.model.model.embed_tokens
    forward = embedding.forward
    monkeypatch.setattr(embedding, "forward", lambda tokens: forward((tokens - 1) % embedding.num_embeddings))


def local_rope_base_for_global_layers(monkeypatch, module):
    rotary = module.model.model.rotary_emb
    rotary.full_attention_inv_freq.copy_(rotary.sliding_attention_inv_freq)


def cache_slot_overwritten(monkeypatch, module):
    original = torch.ops.llama.update_cache
    monkeypatch.setattr(
        torch.ops.llama, "update_cache", lambda values, cache, start: original(values, cache, max(start - 1, 0))
    )


DEFECTS = {
    c_remainder: {"cache_state"},
    stale_ring: {"cache_state"},
    ring_too_small: {"cache_state"},
    ring_filled_backwards: {"cache_state"},
    positions_stop_at_half_the_cache: {"logits", "cache_state"},
    window_off_by_one: {"logits", "cache_state"},
    window_dropped: {"cache_state"},
    query_norm_skipped: {"logits", "cache_state"},
    heads_permuted: {"logits", "cache_state"},
    embedding_row_off: {"logits", "tokens", "cache_state"},
    local_rope_base_for_global_layers: {"logits", "cache_state"},
    cache_slot_overwritten: {"cache_state"},
}
"""Each defect and the checks that must catch it."""


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_defect_is_caught(module, reference, quantized, monkeypatch, defect):
    built = module()
    with torch.no_grad():
        defect(monkeypatch, built)
    found = verdicts(built, reference, quantized)
    missed = {name for name in DEFECTS[defect] if found[name] == "pass"}
    if quantized:
        # Agreement of the best token is a coarser measure than the error: what it misses, the cache check must not.
        missed -= {"logits", "tokens"}
    assert missed == set()


def changed(artifact, **fields):
    return Artifact(artifact.directory, artifact.account.model_copy(update=fields))


EMBEDDING = "quantized_decomposed::embedding_byte"


def weights(*, bits=4, group_size=32, count=15):
    return LinearWeights(bits=bits, group_size=group_size, count=count)


def quantized_account(artifact, **realised_fields):
    """The account of an 8da4w + 8w program as it should be, with what was found in it changed."""
    account = artifact.account
    layers = [
        *(
            {"name": f"layer {index}", "kind": "linear", "weight_bits": 4, "group_size": 32, "part": "decoder"}
            for index in range(15)
        ),
        {"name": "embedding", "kind": "embedding", "weight_bits": 8, "group_size": 64, "part": "decoder"},
    ]
    found = {"linear_weights": [weights(count=15)], "operators": [*account.realised.operators, EMBEDDING]}
    return changed(
        artifact,
        configuration={**account.configuration, "qlinear": "8da4w", "qembedding": "8w"},
        quantization={"layers": layers},
        realised=account.realised.model_copy(update={**found, **realised_fields}),
    )


EXPECTED = "expected 15 of 4 bits in groups of 32"


def test_a_sound_account_has_nothing_wrong(artifact):
    assert realised(artifact, unquantized_bytes=1) == []
    assert realised(quantized_account(artifact), unquantized_bytes=10**9) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"linear_weights": [weights(group_size=128)]}, f"15 of 4 bits in groups of 128, {EXPECTED}"),
        ({"linear_weights": [weights(bits=8)]}, f"15 of 8 bits in groups of 32, {EXPECTED}"),
        ({"linear_weights": [weights(count=14)]}, f"14 of 4 bits in groups of 32, {EXPECTED}"),
        (
            {"linear_weights": [weights(count=14), weights(bits=8)]},
            f"14 of 4 bits in groups of 32, 15 of 8 bits in groups of 32, {EXPECTED}",
        ),
        ({"linear_weights": []}, f"none, {EXPECTED}"),
        ({"operators": ["llama::custom_sdpa"]}, "embedding_byte is missing"),
        ({"backends": []}, "delegates are none with the recipe xnnpack"),
    ],
    ids=[
        "group size ignored",
        "bits ignored",
        "one layer left",
        "two kinds of weights",
        "weights not quantized",
        "embedding not fused",
        "delegate dropped",
    ],
)
def test_what_was_asked_for_and_is_not_there_is_named(artifact, fields, says):
    assert any(says in wrong for wrong in realised(quantized_account(artifact, **fields), unquantized_bytes=10**9))


def test_a_quantized_file_that_did_not_shrink_is_named(artifact):
    stored = artifact.account.file.data_bytes
    assert realised(quantized_account(artifact), unquantized_bytes=stored + 1) == []
    wrong = realised(quantized_account(artifact), unquantized_bytes=stored)
    assert [f"{stored} bytes, not less than unquantized ones ({stored})" in each for each in wrong] == [True]


def test_a_program_in_which_nothing_was_quantized_is_named(artifact):
    account = artifact.account
    asked = changed(artifact, configuration={**account.configuration, "qlinear": "8w"}, quantization={"layers": []})
    assert realised(asked, unquantized_bytes=10**9) == ["no linear layer was quantized with qlinear=8w"]
    unasked = changed(artifact, realised=account.realised.model_copy(update={"linear_weights": [weights(count=1)]}))
    wrong = realised(unasked, unquantized_bytes=10**9)
    assert wrong == ["quantized linear weights are 1 of 4 bits in groups of 32, expected none"]


@pytest.mark.parametrize("shared", [True, False])
def test_an_embedding_that_is_stored_twice_is_named(artifact, shared):
    options = {**artifact.account.configuration, "recipe": "portable", "use_shared_embedding": True}
    found = artifact.account.realised.model_copy(update={"backends": [], "shared_embedding": shared})
    wrong = realised(changed(artifact, configuration=options, realised=found), unquantized_bytes=10**9)
    assert ["the output layer has a copy of the embedding's weight" in each for each in wrong] == [True] * (not shared)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"quantize_kv_cache": True}, "caches store [32] bits with quantize_kv_cache=True"),
        ({"dtype": "fp16"}, "caches store [32] bits with quantize_kv_cache=False"),
        ({"use_attention_sink": "4,28"}, "cache layers are ['custom', 'ring'] with use_attention_sink=4,28"),
        ({"use_custom_kv_cache": False}, "cache layers are ['custom', 'ring'] with use_custom_kv_cache=False"),
    ],
    ids=["not in 8 bits", "of another type", "without a sink", "unasked"],
)
def test_a_cache_that_is_not_what_was_asked_for_is_named(artifact, options, says):
    asked = changed(artifact, configuration={**artifact.account.configuration, **options})
    assert realised(asked, unquantized_bytes=1) == [says]


def test_a_custom_operator_that_was_not_asked_for_is_named(artifact):
    plain = changed(artifact, configuration={**artifact.account.configuration, "use_custom_sdpa": False})
    assert realised(plain, unquantized_bytes=1) == ["llama::custom_sdpa is present with use_custom_sdpa=False"]
    assert dataclasses.replace(plain.config, use_custom_sdpa=True) == artifact.config

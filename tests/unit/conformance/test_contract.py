"""What was asked for and is not in the program, and what an account says of a program that is another one."""

import dataclasses

import pytest
import transformers

from conformance.compare.contract import misstated, overlooked, realised
from conformance.tasks.stages import linear_layers
from exporters import ExportConfig
from exporters.artifact import Artifact, LinearWeights


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


def test_a_sound_account_says_what_the_program_has(artifact):
    assert misstated(artifact) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"operators": ["aten::cat"]}, "operators that only the account has are [], those that only the program has ['aten::"),
        ({"backends": []}, "delegates that only the account has are [], those that only the program has ['XnnpackBackend']"),
    ],
    ids=["operators", "delegates"],
)
def test_an_account_of_another_program_is_named(artifact, fields, says):
    wrong = misstated(changed(artifact, realised=artifact.account.realised.model_copy(update=fields)))
    assert len(wrong) == 1
    assert wrong[0].startswith(says)


def test_an_account_of_fewer_bytes_is_named(artifact):
    stored = artifact.account.file.data_bytes
    other = changed(artifact, file=artifact.account.file.model_copy(update={"data_bytes": 100}))
    assert misstated(other) == [f"the account has 100 bytes of weights, and the program has {stored}"]


def test_a_linear_layer_that_the_exporter_does_not_speak_of_is_named(artifact):
    account = quantized_account(artifact).account
    skipped = [{"name": "experts.gate_up_proj", "reason": "it stacks weights"}]
    account = account.model_copy(update={"quantization": {**account.quantization, "skipped": skipped}})
    assert overlooked(account, {"layer 3": 1, "experts": 8}) == []
    assert overlooked(account, {"layer 3": 1, "layer 15": 1}) == ["of the linear layers, 1 are not accounted for: layer 15"]
    # The embedding was quantized, and is none of them; of a mixture every expert has to be.
    wrong = overlooked(account, {"embedding": 1, "layer 1": 2})
    assert wrong == ["of the linear layers, 2 are not accounted for: embedding, layer 1"]


@pytest.mark.parametrize(
    ("configuration", "inside", "count"),
    [
        (transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=8), "transformer.h.0.attn.c_attn", 5),
        (
            transformers.OlmoeConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, num_experts=4, vocab_size=8),
            "model.layers.0.mlp.experts",
            5 + 8,
        ),
    ],
    ids=["transposed", "experts"],
)
def test_every_linear_layer_is_to_be_quantized_in_whatever_clothes(configuration, inside, count):
    model = transformers.AutoModelForCausalLM.from_config(configuration)
    found = linear_layers(model, ExportConfig(qlinear="8w"))
    assert inside in found
    assert sum(found.values()) == count
    assert linear_layers(model, ExportConfig(qembedding="8w")) == {}

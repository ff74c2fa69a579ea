"""Defects of the exporter: what a decoder computes, and what its program says of itself. Each is exported anew, by the pipeline
that every cell goes through. Those of its caches are in ``caches``, those of its quantized weights in ``quantization``."""

from __future__ import annotations

import torch
from torch import nn

from exporters import metadata
from exporters.attention.static import StaticCacheLayer
from exporters.recipes import xnnpack
from exporters.wrappers.causal_lm import CausalLMExportableModule
from tests.faults.defects import defect, on_model, on_wrapper

PLAIN = "smollm2-135m@xnnpack-fp32"
SMOLLM = "smollm2-135m@xnnpack-fp32-sdpa-kv"
QWEN = "qwen3-0.6b@xnnpack-fp32-sdpa-kv"
GPT2 = "gpt2@xnnpack-fp32-sdpa-kv"


@defect("exporter", PLAIN, caught_by="logits")
def attention_mask_shifted_by_one(patch):
    """Every token sees the one after it."""
    patch.setattr(StaticCacheLayer, "key_positions", lambda self, positions: (self.capacity, -1))


@defect("exporter", "phi3-mini@xnnpack-fp32", caught_by="logits")
def sliding_window_off_by_one(patch):
    """Layers with a sliding window see one token too few."""

    def change(model):
        model.config.sliding_window -= 1

    on_model(patch, change)


@defect("exporter", "bloom-560m@xnnpack-fp32", caught_by="logits")
def alibi_slopes_off(patch):
    """The slopes of the heads are those of a model with twice as many."""
    from transformers.models.bloom import modeling_bloom

    slopes = modeling_bloom._get_alibi_slopes
    patch.setattr(modeling_bloom, "_get_alibi_slopes", lambda heads, device: slopes(2 * heads, device)[:heads])


@defect("exporter", GPT2, caught_by="logits")
def learned_positions_off_by_one(patch):
    """Every token gets the embedding of the position before it."""

    def change(model):
        table = model.transformer.wpe.weight
        table.copy_(table.roll(1, dims=0))

    on_model(patch, change)


@defect("exporter", SMOLLM, caught_by="cache_state")
def rope_position_off_after_the_first_call(patch):
    """Calls that continue a sequence rotate queries and keys as if they began one position earlier."""

    def change(module):
        rotary = module.model.model.rotary_emb
        rotate = rotary.forward
        rotary.forward = lambda hidden, position_ids: rotate(hidden, position_ids - (position_ids[:, :1] > 0).long())

    on_wrapper(patch, change)


@defect("exporter", SMOLLM, caught_by="cache_state")
def positions_stop_at_half_the_cache(patch):
    """A table of rotations is half as long as the cache, and its last row is taken for all that follow."""

    def change(module):
        rotary, last = module.model.model.rotary_emb, module.max_seq_len // 2 - 1
        rotate = rotary.forward
        rotary.forward = lambda hidden, position_ids: rotate(hidden, position_ids.clamp(max=last))

    on_wrapper(patch, change)


@defect("exporter", "llama-3.2-1b@xnnpack-fp32-sdpa-kv", caught_by="logits")
def rope_scaling_dropped(patch):
    """The rotation has its base and not the scaling that Llama 3 puts on its low frequencies."""

    def change(model):
        rotary = model.model.rotary_emb
        rotary.inv_freq.copy_(rotary.compute_default_rope_parameters(model.config)[0])

    on_model(patch, change)


@defect("exporter", SMOLLM, caught_by="logits")
def rope_halves_interleaved(patch):
    """The rows of queries and keys are ordered for a rotation of neighbours, and the rotation is one of halves."""

    def change(model):
        for layer in model.model.layers:
            for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                heads = projection.weight.unflatten(0, (-1, 2, layer.self_attn.head_dim // 2))
                projection.weight.copy_(heads.transpose(1, 2).flatten(0, 2))

    on_model(patch, change)


@defect("exporter", "gemma3-270m@xnnpack-fp32-sdpa-kv", caught_by="logits")
def local_rope_base_for_global_layers(patch):
    """Layers that attend to everything rotate with the base of those that attend within a window."""

    def change(model):
        rotary = model.model.rotary_emb
        rotary.full_attention_inv_freq.copy_(rotary.sliding_attention_inv_freq)

    on_model(patch, change)


@defect("exporter", "gemma2-2b@portable-fp32", caught_by="logits")
def soft_cap_dropped(patch):
    """Attention scores are not bent to lie within their bound."""

    def change(model):
        for layer in model.model.layers:
            layer.self_attn.attn_logit_softcapping = None

    on_model(patch, change)


@defect("exporter", QWEN, caught_by="logits")
def query_norm_skipped(patch):
    """The normalisation of the queries of one layer is left out."""

    def change(model):
        model.model.layers[1].self_attn.q_norm = nn.Identity()

    on_model(patch, change)


@defect("exporter", QWEN, caught_by="logits")
def attention_scale_from_the_hidden_size(patch):
    """Attention scores are scaled by hidden size / heads, where the configuration names another head size."""

    def change(model):
        for layer in model.model.layers:
            layer.self_attn.scaling = (model.config.hidden_size // model.config.num_attention_heads) ** -0.5

    on_model(patch, change)


@defect("exporter", SMOLLM, caught_by="logits")
def query_heads_grouped_wrongly(patch):
    """Query heads take turns at the key-value heads, where each group of them has one of its own."""

    def change(model):
        queries, groups = model.config.num_attention_heads, model.config.num_key_value_heads
        order = torch.arange(queries).unflatten(0, (-1, groups)).t().flatten()
        for layer in model.model.layers:
            rows, columns = layer.self_attn.q_proj.weight, layer.self_attn.o_proj.weight
            rows.copy_(rows.unflatten(0, (queries, -1))[order].flatten(0, 1))
            columns.copy_(columns.unflatten(1, (queries, -1))[:, order].flatten(1, 2))

    on_model(patch, change)


@defect("exporter", SMOLLM, caught_by="logits")
def norm_epsilon_wrong(patch):
    """Normalisation adds 1e-5, which other models have, where this one has 1e-6."""

    def change(model):
        for module in model.modules():
            if hasattr(module, "variance_epsilon"):
                module.variance_epsilon = 1e-5

    on_model(patch, change)


@defect("exporter", GPT2, caught_by="logits")
def activation_without_its_approximation(patch):
    """GELU is computed exactly, where the model was trained with its tanh approximation."""

    def change(model):
        for block in model.transformer.h:
            block.mlp.act = nn.GELU()

    on_model(patch, change)


@defect("exporter", SMOLLM, caught_by="logits")
def residual_dropped(patch):
    """The last layer answers what it adds, without what it adds it to."""

    def change(model):
        layer = model.model.layers[-1]
        forward = layer.forward
        layer.forward = lambda hidden, *args, **kwargs: forward(hidden, *args, **kwargs) - hidden

    on_model(patch, change)


@defect("exporter", GPT2, caught_by="logits")
def dropout_left_on(patch):
    """The model is exported as it is trained, with the dropout of one in ten that the published configuration has."""

    def change(model):
        model.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.1  # a twin has none, so that it learns its texts by heart

    on_model(patch, change)


@defect("exporter", "gemma-2b@xnnpack-fp32-sdpa-kv", caught_by="logits")
def embedding_scale_dropped(patch):
    """Embeddings are not multiplied by the root of their width."""

    def change(model):
        model.model.embed_tokens.embed_scale.fill_(1.0)

    on_model(patch, change)


@defect("exporter", "command-r-35b@xnnpack-fp32-sdpa-kv", caught_by="logits")
def logit_scale_dropped(patch):
    """Logits are not multiplied by the model's scale, which leaves every token the best that it was."""

    def change(model):
        model.logit_scale = 1.0

    on_model(patch, change)


@defect("exporter", SMOLLM, caught_by="logits")
def embedding_row_off(patch):
    """Every token gets the embedding of the one before it in the vocabulary."""

    def change(model):
        embedding = model.get_input_embeddings()
        embedding.weight = nn.Parameter(embedding.weight.roll(1, dims=0), requires_grad=False)

    on_model(patch, change)


@defect("exporter", SMOLLM, caught_by="logits")
def tied_weight_stale(patch):
    """The output layer keeps a copy of the embedding that was made before its last row was trained."""

    def change(model):
        stale = model.lm_head.weight.clone()
        stale[-1] = 0
        model.lm_head.weight = nn.Parameter(stale, requires_grad=False)

    on_model(patch, change)


@defect("exporter", "olmoe-1b-7b@xnnpack-fp32-sdpa-kv", caught_by="logits")
def experts_permuted(patch):
    """The router of one layer counts the experts from the other end."""

    def change(model):
        router = model.model.layers[0].mlp.gate.weight
        router.copy_(router.flip(0))

    on_model(patch, change)


@defect("exporter", "qwen3-embedding-0.6b@xnnpack-fp32-sdpa-kv", caught_by="hidden_states")
def last_norm_skipped(patch):
    """Hidden states are answered as they come out of the last layer, before the norm behind it."""

    def change(model):
        model.norm = nn.Identity()

    on_model(patch, change)


@defect("exporter", "smollm2-135m@xnnpack-fp16-sdpa-kv", caught_by="contract")
def dtype_widened(patch):
    """Half precision is asked for, and the program computes and stores in single."""
    on_model(patch, lambda model: model.float())


@defect("exporter", SMOLLM, caught_by="contract")
def vocabulary_padded(patch):
    """Embedding and output layer are padded to a multiple of 256 rows."""
    on_model(patch, lambda model: model.resize_token_embeddings(pad_to_multiple_of=256))


@defect("exporter", SMOLLM, caught_by="contract")
def delegate_dropped(patch):
    """XNNPACK is asked for, and everything stays with the portable kernels."""
    patch.setattr(xnnpack, "partitioners", lambda config: [])


@defect("exporter", GPT2, caught_by="stage open")
def method_missing(patch):
    """The entry point has another name."""
    methods = CausalLMExportableModule.methods
    patch.setattr(CausalLMExportableModule, "methods", lambda self: {"decode": methods(self)["forward"]})


def saying(patch, **wrong):
    """Let constant methods say something else: a value, or what a function makes of the model."""
    original = metadata.causal_lm

    def changed(model, *args, **kwargs):
        values = {name: value(model) if callable(value) else value for name, value in wrong.items()}
        return original(model, *args, **kwargs) | values

    patch.setattr(metadata, "causal_lm", changed)


@defect("exporter", GPT2, caught_by="contract")
def eos_id_wrong(patch):
    """The program names the token that pads as the one that ends a text."""
    saying(patch, get_eos_ids=lambda model: [model.config.pad_token_id])


@defect("exporter", QWEN, caught_by="contract")
def head_dim_from_the_hidden_size(patch):
    """``get_head_dim`` is hidden size / heads, where the configuration names another head size."""
    saying(patch, get_head_dim=lambda model: model.config.hidden_size // model.config.num_attention_heads)


@defect("exporter", GPT2, caught_by="contract")
def context_length_off_by_one(patch):
    """``get_max_context_len`` and ``get_max_seq_len`` leave one position of the cache out."""
    original = metadata.causal_lm

    def changed(*args, **kwargs):
        told = original(*args, **kwargs)
        return told | {name: told[name] - 1 for name in ("get_max_context_len", "get_max_seq_len")}

    patch.setattr(metadata, "causal_lm", changed)

"""BLOOM: no position embeddings; ALiBi adds to each head's scores a slope of its own over the distance of the keys."""

from zoo.model import Model, Twin
from zoo.registry import register

BLOOM_560M = register(
    Model(
        name="bloom-560m",
        family="bloom",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("own_attention",),
        hub_id="bigscience/bloom-560m",
        # The commit that public experiment records pin for this repository.
        revision="ac2ae5fab2ce3f9f40dc79b5ca9f637430d24971",
        prompts=(
            "Where do swallows go in winter?",
            "Are seals friendly?",
            "Count from one to ten.",
        ),
        # Four heads with slopes of 1/4 to 1/256: near-sighted and far-sighted ones. The embeddings are normalised, and
        # their weights are the output layer's.
        twin=Twin("bloom", num_attention_heads=4, tie_word_embeddings=True),
        # Dimensions: the printed modules of bigscience/bloom-560m in tenstorrent/tt-metal,
        # tests/python_api_testing/models/bloom_old/README.md; heads: the published config.json as quoted in public test
        # suites; no maximum of positions is built in; tied embeddings: the configuration class's default.
        full=dict(
            hidden_size=1024,
            n_layer=24,
            n_head=16,
            vocab_size=250880,
            layer_norm_epsilon=1e-5,
            apply_residual_connection_post_layernorm=False,
            tie_word_embeddings=True,
        ),
    )
)

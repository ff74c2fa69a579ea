"""GPT-BigCode: GPT-2 with one key-value head for all queries, fused into the projection of the queries."""

from zoo.model import Model, Twin
from zoo.registry import register

SANTACODER_1_1B = register(
    Model(
        name="santacoder-1.1b",
        family="gpt_bigcode",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="bigcode/gpt_bigcode-santacoder",
        revision=None,  # unpinned: no published revision was at hand
        prompts=("What does a compiler do?", "Why is the sky blue?", "Write a line about rain."),
        # The dropouts are 0.1 in the published configuration, which would only disturb the training of a twin.
        twin=Twin(
            "gpt_bigcode",
            n_embd=64,
            n_head=4,
            n_layer=2,
            n_inner=128,
            n_positions=256,
            num_key_value_heads=1,
            attn_pdrop=0.0,
            embd_pdrop=0.0,
            resid_pdrop=0.0,
        ),
        # Dimensions: the published config.json as quoted in lablup/mlxcel, src/models/gpt_bigcode_tests.rs.
        full=dict(
            n_embd=2048,
            n_head=16,
            n_layer=24,
            n_inner=8192,
            n_positions=2048,
            vocab_size=49280,
            multi_query=True,
            activation_function="gelu_pytorch_tanh",
            layer_norm_epsilon=1e-5,
            attention_softmax_in_fp32=True,
            scale_attention_softmax_in_fp32=True,
            tie_word_embeddings=True,
        ),
    )
)

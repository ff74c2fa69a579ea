"""MPT: ALiBi instead of position embeddings, and no bias anywhere, not even in the layer norms."""

from zoo.model import Model, Twin
from zoo.registry import register

MPT_7B = register(
    Model(
        name="mpt-7b",
        family="mpt",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("own_attention",),
        hub_id="mosaicml/mpt-7b",
        # Pinned in the examples of several public inference tools.
        revision="68e1a8e0ebb9b30f3c45c1ef6195980f29063ae2",
        prompts=("How do bees find their way home?", "What is a lighthouse for?", "How deep is the sea?"),
        # The slopes of ALiBi and the absent biases are the defaults of the configuration class.
        twin=Twin("mpt", d_model=64, n_heads=4, n_layers=2),
        # Dimensions: the published config.json (of the instruction model, which shares them) as quoted in the notes of a
        # public port to Relax. Tied embeddings are the default of the configuration class.
        full=dict(
            d_model=4096,
            n_heads=32,
            n_layers=32,
            expansion_ratio=4,
            vocab_size=50432,
            max_seq_len=2048,
            no_bias=True,
            attn_config={"attn_type": "multihead_attention", "alibi": True, "alibi_bias_max": 8, "qk_ln": False},
            tie_word_embeddings=True,
        ),
    )
)

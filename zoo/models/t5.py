"""T5 and Flan-T5: text to text; biases of relative positions instead of positions, unscaled attention."""

from zoo.model import Model, Twin
from zoo.registry import register

T5_SMALL = register(
    Model(
        name="t5-small",
        family="t5",
        task="text2text-generation",
        wrapper="Seq2SeqLMExportableModule",
        methods=("encoder", "text_decoder"),
        hub_id="google-t5/t5-small",
        # As pinned in several public repositories.
        revision="df1b051c49625cf57a3d0d8d3863ed4d13564fe4",
        prompts=("Are seals friendly?", "What is a lighthouse for?", "Why is the sky blue?"),
        traits=("position_bias",),
        twin=Twin("t5", d_kv=32, d_ff=128, num_decoder_layers=2),
        # T5Config's defaults are this checkpoint's dimensions.
        full=dict(vocab_size=32128),
    )
)

FLAN_T5_SMALL = register(
    Model(
        name="flan-t5-small",
        family="t5",
        task="text2text-generation",
        wrapper="Seq2SeqLMExportableModule",
        methods=("encoder", "text_decoder"),
        hub_id="google/flan-t5-small",
        # As pinned in several public repositories.
        revision="0fc9ddf78a1e988dac52e2dac162b0ede4fd74ab",
        prompts=("How is bread made?", "What does a compiler do?", "Why do cats purr?"),
        # A decoder of another depth, and heads that together are wider than the model; both are so in the family.
        traits=("position_bias",),
        twin=Twin(
            "t5",
            d_kv=32,
            d_ff=128,
            num_layers=2,
            num_decoder_layers=3,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
        ),
        # T5Config would tie what this asks to untie, and leaves out the scale of T5's tied output layer (transformers 5.23.0).
        full=dict(
            vocab_size=32128,
            d_ff=1024,
            num_layers=8,
            num_decoder_layers=8,
            num_heads=6,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
        ),
    )
)

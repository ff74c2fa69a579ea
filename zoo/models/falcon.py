"""Falcon: one key-value head and attention beside the feed-forward (7B); ALiBi instead of rotary embeddings (RW)."""

from zoo.model import Model, Twin
from zoo.registry import register

FALCON_RW_1B = register(
    Model(
        name="falcon-rw-1b",
        family="falcon",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("own_attention",),
        hub_id="tiiuae/falcon-rw-1b",
        # Pinned in public evaluations of the model.
        revision="e4b9872bb803165eb22f0a867d4e6a64d34fce19",
        prompts=("Are seals friendly?", "How is bread made?", "What is a fossil?"),
        # Biased projections, a key-value head for every query head, and attention before the feed-forward: what the
        # defaults of the configuration class, which are those of the 7B model, are not.
        twin=Twin("falcon", num_kv_heads=4, ffn_hidden_size=256, alibi=True, multi_query=False, parallel_attn=False, bias=True),
        # Dimensions: the published model card, and keras-team/keras-hub, which converts the checkpoint (biases, two layer
        # norms in a layer, separate keys and values) and counts its parameters.
        full=dict(
            hidden_size=2048,
            ffn_hidden_size=8192,
            num_hidden_layers=24,
            num_attention_heads=32,
            num_kv_heads=32,
            vocab_size=50304,
            max_position_embeddings=2048,
            layer_norm_epsilon=1e-5,
            alibi=True,
            bias=True,
            multi_query=False,
            parallel_attn=False,
            new_decoder_architecture=False,
            tie_word_embeddings=True,
        ),
    )
)

FALCON_7B = register(
    Model(
        name="falcon-7b",
        family="falcon",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("own_attention",),
        hub_id="tiiuae/falcon-7b",
        # Pinned in the test fixtures of public ports of the model.
        revision="ec89142b67d748a1865ea4451372db8313ada0d8",
        prompts=("How does a lock work?", "What grows in the shade?", "Count from one to ten."),
        # One key-value head serves all queries; attention and feed-forward read the same layer norm.
        twin=Twin(
            "falcon",
            num_kv_heads=1,
            ffn_hidden_size=256,
            alibi=False,
            multi_query=True,
            parallel_attn=True,
            bias=False,
            new_decoder_architecture=False,
        ),
        # Dimensions: Lightning-AI/litgpt, litgpt/config.py, and kimborgen/falcon-llm, README.md, which prints the modules
        # of the checkpoint. Tied embeddings and rotary base are the defaults of the configuration class.
        full=dict(
            hidden_size=4544,
            ffn_hidden_size=18176,
            num_hidden_layers=32,
            num_attention_heads=71,
            num_kv_heads=1,
            vocab_size=65024,
            max_position_embeddings=2048,
            layer_norm_epsilon=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            alibi=False,
            bias=False,
            multi_query=True,
            parallel_attn=True,
            new_decoder_architecture=False,
            tie_word_embeddings=True,
        ),
    )
)

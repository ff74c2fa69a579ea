"""CodeGen: GPT-J's parallel blocks with one fused projection, packed in four shards of query, value, key."""

from zoo.model import Model, Twin
from zoo.registry import register

CODEGEN_350M = register(
    Model(
        name="codegen-350m",
        family="codegen",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("own_attention", "untied"),
        hub_id="Salesforce/codegen-350M-mono",
        # The commit at which a public audit of transformers' models read this repository's configuration.
        revision="d9107f71cca463240db1143f4a75a927a27fcb27",
        prompts=(
            "What does a compiler do?",
            "Count from one to ten.",
            "How does a lock work?",
        ),
        # Eight heads, so that each of the four shards holds more than one; half of each head is rotated, as published.
        twin=Twin("codegen", num_attention_heads=8, rotary_dim=4, tie_word_embeddings=False),
        # Dimensions: the published config.json as tabulated in a public audit of transformers' CodeGen.
        full=dict(
            n_embd=1024,
            n_inner=None,
            n_layer=20,
            n_head=16,
            vocab_size=51200,
            n_positions=2048,
            rotary_dim=32,
            activation_function="gelu_new",
            layer_norm_epsilon=1e-5,
            tie_word_embeddings=False,
        ),
    )
)

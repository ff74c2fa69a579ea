"""GPT-Neo: global attention and attention to a local window alternate; scores are not divided by the size of a head."""

from zoo.model import Model, Twin
from zoo.registry import register

GPT_NEO_125M = register(
    Model(
        name="gpt-neo-125m",
        family="gpt_neo",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("own_attention",),
        hub_id="EleutherAI/gpt-neo-125m",
        # Pinned in the test fixtures of several public tools.
        revision="21def0189f5705e2521767faed922f1f15e7d7db",
        prompts=("Where do swallows go in winter?", "Are seals friendly?", "How is bread made?"),
        # A local window of 16 in a context of 64, and one layer of each kind.
        twin=Twin(
            "gpt_neo",
            hidden_size=64,
            num_layers=2,
            num_heads=4,
            attention_types=((("global", "local"), 1),),
            window_size=16,
        ),
        # Dimensions: the published config.json of EleutherAI/gpt-neo-125M as quoted in the unit tests of a public port.
        # Its intermediate_size is null: four times the hidden size. Tied embeddings: default of the configuration class.
        full=dict(
            hidden_size=768,
            num_layers=12,
            num_heads=12,
            attention_types=((("global", "local"), 6),),
            window_size=256,
            vocab_size=50257,
            max_position_embeddings=2048,
            layer_norm_epsilon=1e-5,
            tie_word_embeddings=True,
        ),
    )
)

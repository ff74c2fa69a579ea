"""SmolLM2: the Llama architecture with grouped-query attention and tied embeddings."""

from zoo.model import Model, Twin
from zoo.registry import register

SMOLLM2_135M = register(
    Model(
        name="smollm2-135m",
        family="smollm2",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        hub_id="HuggingFaceTB/SmolLM2-135M",
        revision=None,  # unpinned: no published revision was at hand
        prompts=(
            "Are seals friendly?",
            "Count from one to ten.",
            "Why is the sky blue?",
            "What does a compiler do?",
        ),
        # Nine heads share three key-value heads in the published model; the twin keeps the ratio of three to one.
        twin=Twin(
            "llama",
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=16,
            hidden_size=96,
            rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
            tie_word_embeddings=True,
        ),
        # Dimensions: pytorch/executorch, examples/models/smollm2/135M_config.json; context length, rope_theta and tied
        # embeddings: the published config.json as printed in public notebooks of HuggingFaceTB/SmolLM2-135M.
        full=dict(
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            head_dim=64,
            vocab_size=49152,
            max_position_embeddings=8192,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
            tie_word_embeddings=True,
        ),
    )
)

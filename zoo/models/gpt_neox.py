"""GPT-NeoX: attention and MLP side by side, each after its own norm; rotary positions on a quarter of each head."""

from zoo.model import Model, Twin
from zoo.registry import register

PYTHIA_160M = register(
    Model(
        name="pythia-160m",
        family="gpt_neox",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("untied",),
        hub_id="EleutherAI/pythia-160m",
        # The commit that public experiment records pin for this repository.
        revision="50f5173d932e8e61f858120bcb800b97af589f46",
        prompts=(
            "How do bees find their way home?",
            "Count from one to ten.",
            "What is a fossil?",
        ),
        # A quarter of each head is rotated, 8 of 32 channels where the published model rotates 16 of 64; the residual
        # branches are parallel, the projections have biases, the output layer has weights of its own.
        twin=Twin(
            "gpt_neox",
            num_attention_heads=2,
            intermediate_size=256,
            use_parallel_residual=True,
            attention_bias=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
            tie_word_embeddings=False,
        ),
        # Dimensions: Lightning-AI/litgpt, litgpt/config.py, pythia-160m (vocabulary padded to a multiple of 128); layers,
        # width, heads and parameter count agree with the model card. Rotary base and untied embeddings: also the
        # configuration class's defaults.
        full=dict(
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            vocab_size=50304,
            max_position_embeddings=2048,
            hidden_act="gelu",
            layer_norm_eps=1e-5,
            use_parallel_residual=True,
            attention_bias=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
            tie_word_embeddings=False,
        ),
    )
)

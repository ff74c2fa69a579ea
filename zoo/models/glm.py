"""GLM-4: rotary positions on neighbouring channels of half of each head; biases on queries, keys and values only."""

from zoo.model import Model, Twin
from zoo.registry import register

GLM_4_9B = register(
    Model(
        name="glm-4-9b",
        family="glm",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("untied",),
        hub_id="zai-org/glm-4-9b-chat-hf",
        # The commit of the snapshot that public experiment code loads from this repository.
        revision="8599336fc6c125203efb2360bfaf4c80eef1d1bf",
        prompts=(
            "What makes a good map?",
            "What is a fossil?",
            "Are seals friendly?",
        ),
        # Half of each head is rotated, neighbour with neighbour; two key-value heads, as published, serve four query heads
        # each (sixteen in the published model).
        twin=Twin(
            "glm",
            hidden_size=128,
            intermediate_size=256,
            num_attention_heads=8,
            num_key_value_heads=2,
            head_dim=16,
            attention_bias=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
            tie_word_embeddings=False,
        ),
        # Dimensions: the published config.json of glm-4-9b-chat in its transformers format as quoted in the test suites of
        # several public ports. The smaller glm-edge checkpoints rotate whole heads and have no biases.
        full=dict(
            hidden_size=4096,
            intermediate_size=13696,
            num_hidden_layers=40,
            num_attention_heads=32,
            num_key_value_heads=2,
            head_dim=128,
            vocab_size=151552,
            max_position_embeddings=131072,
            rms_norm_eps=1.5625e-07,
            attention_bias=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
            tie_word_embeddings=False,
        ),
    )
)

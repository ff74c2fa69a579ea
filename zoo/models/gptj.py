"""GPT-J: attention and MLP side by side after one norm; rotary positions on neighbouring channels of a quarter of each head."""

from zoo.model import Model, Twin
from zoo.registry import register

GPT_J_6B = register(
    Model(
        name="gpt-j-6b",
        family="gptj",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("own_attention", "untied"),
        hub_id="EleutherAI/gpt-j-6b",
        # The commit that public benchmark code pins for this repository.
        revision="47e169305d2e8376be1d31e765533382721b2cc1",
        prompts=(
            "What is a lighthouse for?",
            "Name three rivers.",
            "How deep is the sea?",
        ),
        # 64 of the published head's 256 channels are rotated: the twin rotates 8 of 32. The output layer has a bias and
        # its own weights.
        twin=Twin("gptj", num_attention_heads=2, rotary_dim=8, tie_word_embeddings=False),
        # Dimensions: the published config.json as quoted in several public benchmarks of EleutherAI/gpt-j-6b.
        full=dict(
            n_embd=4096,
            n_inner=None,
            n_layer=28,
            n_head=16,
            vocab_size=50400,
            n_positions=2048,
            rotary_dim=64,
            activation_function="gelu_new",
            layer_norm_epsilon=1e-5,
            tie_word_embeddings=False,
        ),
    )
)

"""OLMo 3: three sliding-window layers before a global one, whose rotary base alone is stretched; norms come after."""

from zoo.model import Model, Twin
from zoo.registry import register

OLMO3_7B = register(
    Model(
        name="olmo3-7b",
        family="olmo3",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("untied", "some_sliding"),
        hub_id="allenai/Olmo-3-1025-7B",
        # Pinned in the manifests of several public training projects.
        revision="a81bae42db3975be1671e27b9c9a56da1a9f980f",
        prompts=("How does a lock work?", "Are seals friendly?", "What makes a good map?"),
        # One layer of each kind, a window of 16, and a global layer that is stretched as if the twin had been trained on 16
        # positions before its 64. Every head has its own keys and values, as published.
        twin=Twin(
            "olmo3",
            num_key_value_heads=4,
            max_position_embeddings=128,
            sliding_window=16,
            layer_types=("sliding_attention", "full_attention"),
            rope_parameters={
                "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0},
                "full_attention": {
                    "rope_type": "yarn",
                    "rope_theta": 500000.0,
                    "factor": 8.0,
                    "original_max_position_embeddings": 16,
                    "attention_factor": 1.2079441541679836,
                    "beta_fast": 32.0,
                    "beta_slow": 1.0,
                },
            },
        ),
        # Dimensions: the published configurations of the 7B models as summed up in public porting notes and quoted in the
        # tests of several engines; that only global layers are stretched: the configuration class of transformers.
        full=dict(
            hidden_size=4096,
            intermediate_size=11008,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=32,
            vocab_size=100278,
            max_position_embeddings=65536,
            rms_norm_eps=1e-6,
            sliding_window=4096,
            layer_types=(*("sliding_attention",) * 3, "full_attention") * 8,
            rope_parameters={
                "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0},
                "full_attention": {
                    "rope_type": "yarn",
                    "rope_theta": 500000.0,
                    "factor": 8.0,
                    "original_max_position_embeddings": 8192,
                    "attention_factor": 1.2079441541679836,
                    "beta_fast": 32.0,
                    "beta_slow": 1.0,
                },
            },
            attention_bias=False,
            tie_word_embeddings=False,
        ),
    )
)

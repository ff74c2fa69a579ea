"""OLMo 2: norms after attention and feed-forward instead of before, and query-key norm over all heads at once."""

from zoo.model import Model, Twin
from zoo.registry import register

OLMO2_1B = register(
    Model(
        name="olmo2-1b",
        family="olmo2",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        traits=("untied",),
        hub_id="allenai/OLMo-2-0425-1B",
        revision="a1847dff35000b4271fa70afc5db10fd29fedbdf",  # the snapshot that public scripts and evaluations pin
        prompts=(
            "What is a lighthouse for?",
            "What makes a good map?",
            "Count from one to ten.",
        ),
        # Every head has its own keys and values, and the output layer its own weights, as in the published model.
        twin=Twin(
            "olmo2",
            num_attention_heads=4,
            num_key_value_heads=4,
            rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
            tie_word_embeddings=False,
        ),
        # Dimensions: facebookresearch/fairseq2, src/fairseq2/models/olmo2/config.py, whose defaults are this checkpoint's.
        full=dict(
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=16,
            num_attention_heads=16,
            num_key_value_heads=16,
            vocab_size=100352,
            max_position_embeddings=4096,
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
            tie_word_embeddings=False,
            attention_bias=False,
        ),
    )
)

"""ModernBERT: rotary positions, gated feed-forward, and two of three layers attend to a window on both sides."""

from zoo.model import Model, Twin
from zoo.registry import register

MODERNBERT_BASE = register(
    Model(
        name="modernbert-base",
        family="modernbert",
        task="fill-mask",
        wrapper="MaskedLMExportableModule",
        methods=("forward",),
        hub_id="answerdotai/ModernBERT-base",
        # As pinned in several public repositories.
        revision="8949b909ec900327062f0ebf497f51aef5e6f0c8",
        prompts=("Are seals friendly?", "What makes a good map?", "How is bread made?"),
        twin=Twin(
            "modernbert",
            num_hidden_layers=3,
            local_attention=16,
            layer_types=("full_attention", "sliding_attention", "sliding_attention"),
        ),
        # Dimensions: a public transcription of its config.json, which agrees with ModernBertConfig's defaults.
        full=dict(hidden_size=768, intermediate_size=1152, num_hidden_layers=22, num_attention_heads=12, vocab_size=50368),
    )
)

"""EuroBERT: a Llama without the causal mask: rotary positions, RMS norm, gated feed-forward, untied."""

from zoo.model import Model, Twin
from zoo.registry import register

EUROBERT_210M = register(
    Model(
        name="eurobert-210m",
        family="eurobert",
        task="fill-mask",
        wrapper="MaskedLMExportableModule",
        methods=("forward",),
        traits=("untied",),
        hub_id="EuroBERT/EuroBERT-210m",
        # As pinned in several public repositories.
        revision="39b51e15dd1f1a06f58b5cbf6a8a188cec60bd0e",
        prompts=("Are seals friendly?", "What makes a good map?", "How is bread made?"),
        twin=Twin("eurobert", num_key_value_heads=4),
        # Dimensions: a public copy of its config.json; only rope_theta differs from EuroBertConfig's defaults.
        full=dict(rope_parameters={"rope_theta": 250000.0, "rope_type": "default"}, vocab_size=128256),
    )
)

"""ALBERT: one layer shared by all, and an embedding narrower than the hidden states."""

from zoo.model import Model, Twin
from zoo.registry import register

ALBERT_BASE = register(
    Model(
        name="albert-base",
        family="albert",
        task="fill-mask",
        wrapper="MaskedLMExportableModule",
        methods=("forward",),
        hub_id="albert/albert-base-v2",
        # As pinned in the fixtures of several public repositories.
        revision="8e2f239c5f8a2c0f253781ca60135db913e5c80c",
        prompts=("Are seals friendly?", "What makes a good map?", "How is bread made?"),
        twin=Twin("albert", embedding_size=64, hidden_size=128, inner_group_num=1),
        # Dimensions: a public transcription of its config.json; the rest are AlbertConfig's defaults.
        full=dict(hidden_size=768, num_attention_heads=12, intermediate_size=3072),
    )
)

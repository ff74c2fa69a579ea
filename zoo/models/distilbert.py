"""DistilBERT: BERT with half the layers and no segments."""

from zoo.model import Model, Twin
from zoo.registry import register

DISTILBERT_BASE = register(
    Model(
        name="distilbert-base",
        family="distilbert",
        task="fill-mask",
        wrapper="MaskedLMExportableModule",
        methods=("forward",),
        hub_id="distilbert/distilbert-base-uncased",
        # As pinned in several public repositories.
        revision="12040accade4e8a0f71eabdb258fecc2e7e948be",
        prompts=("Are seals friendly?", "What makes a good map?", "How is bread made?"),
        twin=Twin("distilbert", dim=64, hidden_dim=128, n_layers=2, n_heads=4, max_position_embeddings=256),
        # Dimensions: the defaults of transformers' DistilBertConfig are this checkpoint's.
        full=dict(dim=768, hidden_dim=3072, n_layers=6, n_heads=12, vocab_size=30522),
    )
)

"""Sentence embeddings of a BERT: the mean of the hidden states of a text's tokens, of length one."""

from zoo.model import Model, Twin
from zoo.registry import register

MINILM_L6 = register(
    Model(
        name="all-minilm-l6",
        family="minilm",
        task="feature-extraction",
        wrapper="MaskedLMExportableModule",
        methods=("forward",),
        traits=("untied",),
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",  # as pinned in several public repositories
        prompts=(
            "Are seals friendly?",
            "What is a lighthouse for?",
            "How is bread made?",
            "Where do swallows go in winter?",
        ),
        twin=Twin("bert"),
        # Dimensions: a copy of its config.json in the metadata of a public search engine's model catalogue.
        full=dict(hidden_size=384, num_hidden_layers=6, intermediate_size=1536, num_attention_heads=12, vocab_size=30522),
    )
)

"""BERT: post-normalised, learned positions, segment embeddings, an output layer tied to the embedding."""

from zoo.model import Model, Twin
from zoo.registry import register

BERT_BASE = register(
    Model(
        name="bert-base",
        family="bert",
        task="fill-mask",
        wrapper="MaskedLMExportableModule",
        methods=("forward",),
        hub_id="google-bert/bert-base-uncased",
        # As pinned in the caches and fixtures of several public repositories.
        revision="86b5e0934494bd15c9632b12f734a8a67f723594",
        prompts=("Are seals friendly?", "What makes a good map?", "How is bread made?"),
        twin=Twin("bert"),
        # Dimensions: the defaults of transformers' BertConfig are this checkpoint's.
        full=dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, vocab_size=30522),
    )
)

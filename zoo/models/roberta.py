"""RoBERTa: BERT whose positions begin to count after the id of the padding token."""

from zoo.model import Model, Twin
from zoo.registry import register

ROBERTA_BASE = register(
    Model(
        name="roberta-base",
        family="roberta",
        task="fill-mask",
        wrapper="MaskedLMExportableModule",
        methods=("forward",),
        hub_id="FacebookAI/roberta-base",
        # As pinned in several public repositories.
        revision="e2da8e2f811d1448a5b465c236feacd80ffbac7b",
        prompts=("Are seals friendly?", "What makes a good map?", "How is bread made?"),
        twin=Twin("roberta", type_vocab_size=1),
        # Dimensions: a public transcription of its config.json; the rest are RobertaConfig's defaults.
        full=dict(max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, vocab_size=50265),
    )
)

"""XLM-RoBERTa: RoBERTa with the vocabulary of a hundred languages."""

from zoo.model import Model, Twin
from zoo.registry import register

XLM_ROBERTA_BASE = register(
    Model(
        name="xlm-roberta-base",
        family="xlm_roberta",
        task="fill-mask",
        wrapper="MaskedLMExportableModule",
        methods=("forward",),
        hub_id="FacebookAI/xlm-roberta-base",
        # As pinned in several public repositories.
        revision="e73636d4f797dec63c3081bb6ed5c7b0bb3f2089",
        prompts=("Are seals friendly?", "What makes a good map?", "How is bread made?"),
        twin=Twin("xlm-roberta", type_vocab_size=1),
        # Dimensions: a public transcription of its config.json; the rest are XLMRobertaConfig's defaults.
        full=dict(vocab_size=250002, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5),
    )
)

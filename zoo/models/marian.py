"""Marian: translation; sinusoidal positions, scaled embeddings, a bias on the final logits, padding begins a text."""

from zoo.model import Model, Twin
from zoo.registry import register

OPUS_MT_EN_DE = register(
    Model(
        name="opus-mt-en-de",
        family="marian",
        task="text2text-generation",
        wrapper="Seq2SeqLMExportableModule",
        methods=("encoder", "text_decoder"),
        hub_id="Helsinki-NLP/opus-mt-en-de",
        # As pinned in several public repositories.
        revision="6183067f769a302e3861815543b9f312c71b0ca4",
        prompts=("How does a lock work?", "What makes a good map?", "Where do swallows go in winter?"),
        twin=Twin(
            "marian",
            decoder_layers=2,
            decoder_attention_heads=4,
            encoder_ffn_dim=128,
            decoder_ffn_dim=128,
            activation_function="swish",
            scale_embedding=True,
        ),
        # Dimensions: a public copy of the checkpoint's configuration.
        full=dict(
            vocab_size=58101,
            decoder_vocab_size=58101,
            d_model=512,
            encoder_layers=6,
            decoder_layers=6,
            encoder_attention_heads=8,
            decoder_attention_heads=8,
            encoder_ffn_dim=2048,
            decoder_ffn_dim=2048,
            activation_function="swish",
            max_position_embeddings=512,
            scale_embedding=True,
        ),
    )
)

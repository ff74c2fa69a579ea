"""BART: a denoising encoder and decoder, learned positions, a bias on the final logits."""

from zoo.model import Model, Twin
from zoo.registry import register

BART_BASE = register(
    Model(
        name="bart-base",
        family="bart",
        task="text2text-generation",
        wrapper="Seq2SeqLMExportableModule",
        methods=("encoder", "text_decoder"),
        hub_id="facebook/bart-base",
        # As pinned in several public repositories.
        revision="aadd2ab0ae0c8268c7c9693540e9904811f36177",
        prompts=("Write a line about rain.", "What grows in the shade?", "Name three rivers."),
        twin=Twin("bart", decoder_layers=2, decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128),
        # Dimensions: public copies of the checkpoint's configuration; BartConfig's defaults are bart-large's.
        full=dict(
            vocab_size=50265,
            d_model=768,
            encoder_layers=6,
            decoder_layers=6,
            encoder_attention_heads=12,
            decoder_attention_heads=12,
            encoder_ffn_dim=3072,
            decoder_ffn_dim=3072,
            max_position_embeddings=1024,
        ),
    )
)

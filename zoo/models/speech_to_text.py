"""Speech2Text: filter banks through strided convolutions, sinusoidal positions that skip padding."""

from zoo.model import Model, Twin
from zoo.registry import register

S2T_SMALL = register(
    Model(
        name="s2t-small",
        family="speech_to_text",
        task="automatic-speech-recognition",
        wrapper="Seq2SeqLMExportableModule",
        methods=("encoder", "text_decoder"),
        hub_id="facebook/s2t-small-librispeech-asr",
        revision=None,  # unpinned: no published revision was at hand
        prompts=("low tone", "rising chirp", "falling chirp"),
        traits=("listens",),
        twin=Twin(
            "speech_to_text",
            d_model=64,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=128,
            decoder_ffn_dim=128,
            conv_channels=128,
            max_source_positions=1000,
            max_target_positions=128,
        ),
        # Speech2TextConfig's defaults are this checkpoint's dimensions.
        full=dict(vocab_size=10000),
    )
)

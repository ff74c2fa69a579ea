"""Whisper: mel spectrograms of a fixed length, an encoder with sinusoidal and a decoder with learned positions."""

from zoo.model import Model, Twin
from zoo.registry import register

WHISPER_TINY = register(
    Model(
        name="whisper-tiny",
        family="whisper",
        task="automatic-speech-recognition",
        wrapper="Seq2SeqLMExportableModule",
        methods=("encoder", "text_decoder"),
        hub_id="openai/whisper-tiny",
        # As pinned in several public repositories.
        revision="169d4a4341b33bc18d8881c4b69c2e104e1cc0af",
        prompts=("low tone", "rising chirp", "noise burst", "two beeps"),
        traits=("listens",),
        # Two seconds of sound instead of thirty.
        twin=Twin(
            "whisper",
            d_model=64,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=128,
            decoder_ffn_dim=128,
            max_source_positions=100,
            max_target_positions=128,
        ),
        # WhisperConfig's defaults are this checkpoint's dimensions.
        full=dict(vocab_size=51865),
    )
)

"""Qwen2-Audio: Whisper's encoder, its states averaged two by two, and only as many embeddings as a sound is long."""

from zoo.model import Model, Twin
from zoo.prompts import LISTENING
from zoo.registry import register

QWEN2_AUDIO_7B = register(
    Model(
        name="qwen2-audio-7b",
        family="qwen2_audio",
        task="audio-text-to-text",
        wrapper="MultiModalTextToTextExportableModule",
        methods=("audio_encoder", "text_decoder", "token_embedding"),
        hub_id="Qwen/Qwen2-Audio-7B-Instruct",
        # As pinned in several public repositories.
        revision="0a095220c30b7b31434169c3086508ef3ea5bf0a",
        prompts=LISTENING,
        # One second of sound: twenty-five embeddings at most.
        twin=Twin(
            "qwen2_audio",
            max_seq_len=96,
            text_config=dict(model_type="qwen2"),
            audio_config=dict(
                d_model=64,
                encoder_layers=2,
                encoder_attention_heads=4,
                encoder_ffn_dim=128,
                num_mel_bins=16,
                max_source_positions=50,
            ),
        ),
        # Dimensions: public copies of its configuration, whose unnamed options are the configuration classes' defaults.
        full=dict(
            text_config=dict(
                model_type="qwen2",
                vocab_size=156032,
                hidden_size=4096,
                intermediate_size=11008,
                num_hidden_layers=32,
                num_attention_heads=32,
                num_key_value_heads=32,
                max_position_embeddings=8192,
                rms_norm_eps=1e-5,
                rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            ),
            audio_config=dict(
                num_mel_bins=128,
                encoder_layers=32,
                encoder_attention_heads=20,
                encoder_ffn_dim=5120,
                d_model=1280,
                max_source_positions=1500,
            ),
        ),
    )
)

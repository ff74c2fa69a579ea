"""Voxtral: Whisper's encoder over thirty seconds, four of its states packed into one embedding before Llama."""

from zoo.model import Model, Twin
from zoo.prompts import LISTENING
from zoo.registry import register

VOXTRAL_MINI_3B = register(
    Model(
        name="voxtral-mini-3b",
        family="voxtral",
        task="audio-text-to-text",
        wrapper="MultiModalTextToTextExportableModule",
        methods=("audio_encoder", "text_decoder", "token_embedding"),
        hub_id="mistralai/Voxtral-Mini-3B-2507",
        # As pinned in several public repositories. Its tokenizer needs mistral_common.
        revision="3060fe34b35ba5d44202ce9ff3c097642914f8f3",
        prompts=LISTENING,
        # One second of sound: fifty states, five of which are packed into an embedding.
        twin=Twin(
            "voxtral",
            max_seq_len=80,
            text_config=dict(model_type="llama"),
            audio_config=dict(intermediate_size=320, num_mel_bins=16, max_source_positions=50),
        ),
        # Dimensions: VoxtralConfig's defaults are this checkpoint's; the text's from public copies of its configuration.
        full=dict(
            text_config=dict(
                model_type="llama",
                vocab_size=131072,
                hidden_size=3072,
                intermediate_size=8192,
                num_hidden_layers=30,
                num_attention_heads=32,
                num_key_value_heads=8,
                head_dim=128,
                max_position_embeddings=131072,
                rms_norm_eps=1e-5,
                rope_parameters={"rope_type": "default", "rope_theta": 100000000.0},
            ),
            audio_config=dict(num_mel_bins=128, max_source_positions=1500),
        ),
    )
)

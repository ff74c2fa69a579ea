"""Granite Speech: a conformer that attends within blocks, a Q-Former that makes three embeddings of fifteen states, Granite."""

from zoo.model import Model, Twin
from zoo.prompts import LISTENING
from zoo.registry import register

GRANITE_SPEECH_2B = register(
    Model(
        name="granite-speech-3.3-2b",
        family="granite_speech",
        task="audio-text-to-text",
        wrapper="MultiModalTextToTextExportableModule",
        methods=("audio_encoder", "text_decoder", "token_embedding"),
        hub_id="ibm-granite/granite-speech-3.3-2b",
        # Unpinned: no public repository that was found pins a commit. Its adapter (LoRA) needs peft and is not part of the row.
        revision=None,
        prompts=LISTENING,
        twin=Twin(
            "granite_speech",
            max_seq_len=80,
            text_config=dict(
                model_type="granite",
                embedding_multiplier=4.0,
                attention_multiplier=0.25,
                residual_multiplier=0.5,
                logits_scaling=2.0,
            ),
            encoder_config=dict(
                input_dim=160,
                num_layers=2,
                hidden_dim=64,
                feedforward_mult=2,
                num_heads=4,
                dim_head=16,
                output_dim=32,
                context_size=20,
                max_pos_emb=32,
                conv_kernel_size=5,
            ),
            projector_config=dict(model_type="blip_2_qformer", encoder_hidden_size=64, cross_attention_frequency=1),
            has_lora_adapter=False,
        ),
        # Dimensions: a public table of its configuration; the multipliers are those of granite-3.3-2b-instruct, which it was
        # trained from. Twelve seconds of sound.
        full=dict(
            text_config=dict(
                model_type="granite",
                vocab_size=49160,
                hidden_size=2048,
                intermediate_size=8192,
                num_hidden_layers=40,
                num_attention_heads=32,
                num_key_value_heads=8,
                max_position_embeddings=131072,
                rms_norm_eps=1e-5,
                embedding_multiplier=12.0,
                attention_multiplier=0.015625,
                residual_multiplier=0.22,
                logits_scaling=8.0,
                rope_parameters={"rope_type": "default", "rope_theta": 10000000.0},
            ),
            encoder_config=dict(
                input_dim=160,
                num_layers=16,
                hidden_dim=1024,
                feedforward_mult=4,
                num_heads=8,
                dim_head=128,
                output_dim=256,
                context_size=200,
                max_pos_emb=512,
                conv_kernel_size=15,
            ),
            projector_config=dict(
                model_type="blip_2_qformer",
                hidden_size=1024,
                num_hidden_layers=2,
                num_attention_heads=16,
                intermediate_size=4096,
                encoder_hidden_size=1024,
                cross_attention_frequency=1,
            ),
            has_lora_adapter=False,
        ),
        processor=dict(frames=600),
    )
)

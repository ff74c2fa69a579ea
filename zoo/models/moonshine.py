"""Moonshine: raw samples of any length, rotary positions in a part of each head, one output layer with the embedding."""

from zoo.model import Model, Twin
from zoo.registry import register

MOONSHINE_TINY = register(
    Model(
        name="moonshine-tiny",
        family="moonshine",
        task="automatic-speech-recognition",
        wrapper="Seq2SeqLMExportableModule",
        methods=("encoder", "text_decoder"),
        hub_id="UsefulSensors/moonshine-tiny",
        # As pinned in several public repositories.
        revision="390624ed33d594443aa4aa221f5b9f283b545b5a",
        prompts=("high tone", "rising chirp", "two beeps"),
        traits=("listens",),
        twin=Twin(
            "moonshine",
            encoder_num_hidden_layers=2,
            decoder_num_hidden_layers=2,
            encoder_num_attention_heads=4,
            decoder_num_attention_heads=4,
            encoder_num_key_value_heads=4,
            decoder_num_key_value_heads=4,
        ),
        # Dimensions: a public copy of the checkpoint's configuration; the rest are MoonshineConfig's defaults.
        full=dict(vocab_size=32768, max_position_embeddings=194),
        processor=dict(do_normalize=False, return_attention_mask=True),
    )
)

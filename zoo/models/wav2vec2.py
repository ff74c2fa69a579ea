"""Wav2Vec2 with CTC: raw samples of any length, a convolution instead of positions, a letter for each frame."""

from zoo.model import Model, Twin
from zoo.registry import register

WAV2VEC2_BASE = register(
    Model(
        name="wav2vec2-base",
        family="wav2vec2",
        task="automatic-speech-recognition",
        wrapper="CTCExportableModule",
        methods=("forward",),
        hub_id="facebook/wav2vec2-base-960h",
        # As pinned in several public repositories.
        revision="22aad52d435eb6dbaf354bdad9b0da84ce7d6156",
        prompts=("low tone", "rising chirp", "two beeps", "noise burst"),
        traits=("listens",),
        twin=Twin("wav2vec2", conv_dim=(32,) * 7),
        # Wav2Vec2Config's defaults are this checkpoint's dimensions.
        full=dict(vocab_size=32),
    )
)

import torch

from conformance import ModelConformance
from zoo.models.qwen2_audio import QWEN2_AUDIO_7B


class TestQwen2Audio(ModelConformance):
    model = QWEN2_AUDIO_7B

    def test_a_shorter_sound_becomes_fewer_embeddings(self, twin, shown):
        counts = [int((shown(twin, index)[0] == twin.config.audio_token_id).sum()) for index in (0, 1)]
        assert counts[0] < counts[1] < 25

    def test_what_is_behind_the_end_is_not_listened_to(self, twin, shown):
        tokens, given = shown(twin)
        filled = given["input_features"].masked_fill(given["feature_attention_mask"][:, None] == 0, 3.0)
        with torch.no_grad():
            silent, noisy = (
                twin(tokens, attention_mask=torch.ones_like(tokens), **{**given, "input_features": features}).logits
                for features in (given["input_features"], filled)
            )
        # The first convolution still sees one frame behind the end.
        assert (silent - noisy).abs().max() < 2

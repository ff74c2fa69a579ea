import torch

from conformance import ModelConformance
from zoo.models.granite_speech import GRANITE_SPEECH_2B


class TestGraniteSpeech(ModelConformance):
    model = GRANITE_SPEECH_2B

    def test_fifteen_states_become_three_embeddings(self, twin, shown):
        _, given = shown(twin)
        assert given["input_features"].shape[1] == 60
        assert twin.get_audio_features(**given).pooler_output.shape[1] == 60 // 15 * 3

    def test_states_attend_within_their_block(self, twin):
        attention, dists = twin.model.encoder.layers[0].attn, twin.model.encoder.attention_dists
        states = torch.randn(1, 60, 64, generator=torch.Generator().manual_seed(0))
        changed = states.clone()
        changed[:, 40:] += 1
        before, after = (attention(each, dists) for each in (states, changed))
        assert torch.equal(before[:, :40], after[:, :40])
        assert not torch.equal(before[:, 40:], after[:, 40:])

import torch

from conformance import ModelConformance
from zoo.models.wav2vec2 import WAV2VEC2_BASE


class TestWav2Vec2(ModelConformance):
    model = WAV2VEC2_BASE

    def test_a_frame_is_320_samples(self, twin):
        with torch.no_grad():
            frames = [twin(torch.zeros(1, samples)).logits.shape[1] for samples in (16000, 16320)]
        assert frames == [49, 50]

    def test_a_convolution_tells_it_where_a_frame_lies(self, twin):
        assert twin.wav2vec2.encoder.pos_conv_embed.conv.kernel_size == (128,)

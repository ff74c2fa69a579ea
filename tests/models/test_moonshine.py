from conformance import ModelConformance
from zoo.models.moonshine import MOONSHINE_TINY


class TestMoonshine(ModelConformance):
    model = MOONSHINE_TINY

    def test_a_state_is_made_of_384_samples(self, twin):
        encoder = twin.get_encoder()
        assert encoder.conv1.stride[0] * encoder.conv2.stride[0] * encoder.conv3.stride[0] == 384

    def test_turns_a_part_of_each_head_only(self, twin):
        assert 2 * len(twin.model.decoder.rotary_emb.inv_freq) < twin.config.hidden_size // 4

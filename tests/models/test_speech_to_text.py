import torch

from conformance import ModelConformance
from zoo.models.speech_to_text import S2T_SMALL


class TestSpeech2Text(ModelConformance):
    model = S2T_SMALL

    def test_four_frames_make_a_state(self, twin):
        sound = torch.zeros(1, 101, twin.config.input_feat_per_channel)
        assert twin.get_encoder()(sound).last_hidden_state.shape[1] == 26

    def test_position_tables_are_longer_than_any_text_of_the_twin(self, twin):
        assert twin.model.decoder.embed_positions.weights.shape[0] > self.model.twin.max_seq_len

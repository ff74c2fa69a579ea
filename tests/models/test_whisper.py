import pytest
import torch

from conformance import ModelConformance
from zoo.models.whisper import WHISPER_TINY


class TestWhisper(ModelConformance):
    model = WHISPER_TINY

    def test_reads_sounds_of_one_length(self, twin):
        frames = 2 * twin.config.max_source_positions
        sound = torch.zeros(1, twin.config.num_mel_bins, frames)
        assert twin.get_encoder()(sound).last_hidden_state.shape[1] == twin.config.max_source_positions
        with pytest.raises(ValueError, match="expects the mel input features to be of length"):
            twin.get_encoder()(sound[:, :, 1:])

    def test_writes_with_the_weights_it_reads_with(self, twin):
        assert twin.proj_out.weight is twin.model.decoder.embed_tokens.weight

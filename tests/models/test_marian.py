import torch

from conformance import ModelConformance
from zoo.models.marian import OPUS_MT_EN_DE


class TestMarian(ModelConformance):
    model = OPUS_MT_EN_DE

    def test_a_text_begins_with_padding(self, twin):
        assert twin.generation_config.decoder_start_token_id == twin.config.pad_token_id

    def test_positions_are_waves_and_no_weights(self, twin):
        table = twin.model.encoder.embed_positions.weight
        assert torch.equal(table, twin.model.decoder.embed_positions.weight)
        assert table.abs().max() <= 1

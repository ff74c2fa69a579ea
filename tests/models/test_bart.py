from conformance import ModelConformance
from zoo.models.bart import BART_BASE


class TestBart(ModelConformance):
    model = BART_BASE

    def test_adds_a_bias_to_its_logits(self, twin):
        assert twin.final_logits_bias.abs().max() > 0.5

    def test_a_text_begins_with_the_token_that_ends_one(self, twin):
        assert twin.generation_config.decoder_start_token_id == twin.config.eos_token_id

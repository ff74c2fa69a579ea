import copy

import torch

from conformance import ModelConformance
from zoo.models.t5 import FLAN_T5_SMALL, T5_SMALL


class TestT5(ModelConformance):
    model = T5_SMALL

    def test_scales_its_states_before_the_tied_output_layer(self, twin):
        assert twin.config.scale_decoder_outputs
        assert twin.lm_head.weight is twin.shared.weight

    def test_knows_places_by_their_distance_alone(self, twin):
        blind = copy.deepcopy(twin)
        for stack in (blind.encoder, blind.decoder):
            stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight.data.zero_()
        inputs = {"input_ids": torch.tensor([[5, 6, 7, 8]]), "decoder_input_ids": torch.tensor([[0, 9, 10]])}
        with torch.no_grad():
            assert (twin(**inputs).logits - blind(**inputs).logits).abs().max() > 0.01


class TestFlanT5(ModelConformance):
    model = FLAN_T5_SMALL

    def test_gates_its_activations_and_does_not_scale_its_states(self, twin):
        assert twin.config.is_gated_act
        assert not twin.config.scale_decoder_outputs

    def test_heads_are_wider_than_the_model_and_the_decoder_deeper_than_the_encoder(self, twin):
        assert twin.config.num_heads * twin.config.d_kv > twin.config.d_model
        assert len(twin.decoder.block) > len(twin.encoder.block)

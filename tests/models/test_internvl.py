import torch

from conformance import ModelConformance
from zoo.models.internvl import INTERNVL3_1B


class TestInternVL(ModelConformance):
    model = INTERNVL3_1B

    def test_four_patches_are_shuffled_into_one_embedding(self, twin, shown):
        _, given = shown(twin)
        patches = twin.model.vision_tower(**given).last_hidden_state.shape[1] - 1
        assert twin.get_image_features(**given).pooler_output.shape[1] == patches // 4

    def test_layers_of_the_tower_are_scaled(self, twin, shown):
        _, given = shown(twin)
        before = twin.get_image_features(**given).pooler_output
        for layer in twin.model.vision_tower.encoder.layer:
            layer.lambda_1.data.zero_()
        assert (before - twin.get_image_features(**given).pooler_output).abs().max() > 1e-3
        assert torch.isfinite(before).all()

from conformance import ModelConformance
from zoo.models.smolvlm import SMOLVLM2_256M, SMOLVLM_256M


class TestSmolVLM(ModelConformance):
    model = SMOLVLM_256M

    def test_four_patches_are_shuffled_into_one_embedding(self, twin, shown):
        _, given = shown(twin)
        patches = twin.model.vision_model(given["pixel_values"][0]).last_hidden_state.shape[1]
        (embeddings,) = twin.get_image_features(**given).pooler_output
        assert len(embeddings) == patches // 4

    def test_a_patch_knows_its_place(self, twin, shown):
        _, given = shown(twin)
        (before,) = twin.get_image_features(**given).pooler_output
        twin.model.vision_model.embeddings.position_embedding.weight.data.zero_()
        (after,) = twin.get_image_features(**given).pooler_output
        assert (before - after).abs().max() > 1e-3


class TestSmolVLM2(ModelConformance):
    model = SMOLVLM2_256M

    def test_is_an_architecture_of_its_own(self, twin):
        assert twin.config.model_type == "smolvlm"

from conformance import ModelConformance
from zoo.models.dinov2 import DINOV2_SMALL


class TestDINOv2(ModelConformance):
    model = DINOV2_SMALL

    def test_the_classifier_reads_the_class_token_and_the_mean_of_the_patches(self, twin):
        assert twin.classifier.in_features == 2 * twin.config.hidden_size

    def test_residuals_are_scaled(self, twin):
        assert [name for name, _ in twin.named_parameters() if "layer_scale" in name]

from conformance import ModelConformance
from zoo.models.albert import ALBERT_BASE


class TestALBERT(ModelConformance):
    model = ALBERT_BASE

    def test_all_layers_are_one(self, twin):
        assert twin.config.num_hidden_layers == 2
        assert len(twin.albert.encoder.albert_layer_groups) == 1

    def test_embedding_is_narrower_than_the_hidden_states(self, twin):
        assert twin.get_input_embeddings().embedding_dim == twin.config.embedding_size < twin.config.hidden_size

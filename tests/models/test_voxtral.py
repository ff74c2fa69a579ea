from conformance import ModelConformance
from zoo.models.voxtral import VOXTRAL_MINI_3B


class TestVoxtral(ModelConformance):
    model = VOXTRAL_MINI_3B

    def test_several_states_are_packed_into_an_embedding(self, twin, shown):
        _, given = shown(twin)
        states = twin.model.audio_tower(**given).last_hidden_state
        packed = twin.config.audio_config.intermediate_size // twin.config.audio_config.hidden_size
        assert packed == 5
        assert len(twin.get_audio_features(**given).pooler_output) == states.shape[1] // packed

    def test_executorch_s_own_runner_says_the_same(self, record):
        assert record.checks["runner"].metrics["supported"] is True

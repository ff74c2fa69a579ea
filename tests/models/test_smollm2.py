from conformance import ModelConformance
from zoo.models.smollm2 import SMOLLM2_135M


class TestSmolLM2_135M(ModelConformance):
    model = SMOLLM2_135M

    def test_stops_at_the_end_of_the_text(self, generation):
        said = {entry.prompt: entry for entry in generation}
        assert said["Count from one to ten."].stop == "eos"
        assert said["Count from one to ten."].text.endswith("nine, ten.")

"""What tests of models that look or listen need."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def shown():
    """A function of a twin and the number of a reference prompt with one image or sound: the prompt's token ids [1, n], and
    what transformers' processor gives the model beside them."""
    import torch
    from PIL import Image

    from zoo.twins import sounds
    from zoo.twins.media import arguments, load_processor, placeholder_id, prepare

    def read(twin, index=0):
        checkpoint = Path(twin.name_or_path)
        sample = json.loads((checkpoint / "reference.json").read_text())["samples"][index]
        (name,) = sample["shown"]
        drawn = (checkpoint / name).is_file()
        item = Image.open(checkpoint / name).convert("RGB") if drawn else sounds.draw(name)
        tokens = torch.tensor([sample["tokens"][: sample["prompt_length"]]])
        inputs = prepare(load_processor(checkpoint), item)
        return tokens, arguments(twin, tokens == placeholder_id(twin.config), inputs)

    return read

"""Prompts with images and sounds: what is written for them is what transformers' own processors write."""

import pytest

from zoo import registry
from zoo.checkpoints import resolve
from zoo.errors import ZooError
from zoo.placeholders import AUDIO, IMAGE, PLACEHOLDERS, Placeholder, placeholder


def test_every_marker_becomes_its_own_number_of_tokens():
    known = Placeholder(AUDIO, "[A]", "[BEGIN]")
    assert known.expand(f"a {AUDIO} b {AUDIO}", [2, 1]) == "a [BEGIN][A][A] b [BEGIN][A]"
    assert known.tokens == ("[A]", "[BEGIN]")


@pytest.mark.parametrize("counts", [[], [1, 1]])
def test_more_or_fewer_markers_than_images_are_refused(counts):
    with pytest.raises(ZooError, match="has 1 markers <image>"):
        Placeholder(IMAGE, "<image>").expand("<image> What is this?", counts)


def test_an_architecture_that_only_reads_is_named():
    with pytest.raises(ZooError, match="gemma2"):
        placeholder("gemma2")


@pytest.mark.parametrize(
    ("name", "marker", "options"),
    [
        (
            "llava-1.5-7b",
            "<image>",
            {"patch_size": 16, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        ),
        ("gemma3-4b", "<start_of_image>", {"image_seq_length": 4}),
        ("smolvlm-256m", "<image>", {"image_seq_len": 4}),
    ],
)
def test_a_prompt_is_expanded_as_the_processor_of_transformers_does(name, marker, options):
    import transformers
    from transformers import AutoTokenizer

    from zoo.twins import images
    from zoo.twins.media import load_processor

    model = registry.get(name)
    checkpoint = resolve(model)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    kind = {"llava-1.5-7b": "Llava", "gemma3-4b": "Gemma3", "smolvlm-256m": "Idefics3"}[name]
    if kind == "Gemma3":  # its tokenizer class names them
        for role, token in (("boi", "<start_of_image>"), ("eoi", "<end_of_image>"), ("image", "<image_soft_token>")):
            setattr(tokenizer, f"{role}_token", token)
            setattr(tokenizer, f"{role}_token_id", tokenizer.convert_tokens_to_ids(token))
    processor = getattr(transformers, f"{kind}Processor")(load_processor(checkpoint), tokenizer, **options)
    picture = images.draw("red circle", 32)
    theirs = processor(images=[[picture]] if kind == "Idefics3" else picture, text=f"Look: {marker} Well?")["input_ids"][0]
    ours = tokenizer(placeholder(model.twin.model_type).expand(f"Look: {IMAGE} Well?", [4]))["input_ids"]
    assert tokenizer.decode(theirs) == tokenizer.decode(ours)


def test_every_architecture_of_the_registry_that_looks_or_listens_has_one():
    kinds = {row.twin.model_type for row in registry.models().values() if "token_embedding" in row.methods}
    assert kinds == set(PLACEHOLDERS)

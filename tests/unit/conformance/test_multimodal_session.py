"""Sessions of models that look or listen: what they refuse."""

import pytest
import torch

from conformance.artifacts import cached_export
from conformance.sessions.multimodal import MultimodalSession
from conformance.sessions.protocol import SessionError
from exporters.config import ExportConfig
from zoo import registry
from zoo.checkpoints import resolve


@pytest.fixture(scope="module")
def opened():
    """A function of a model's name: its session."""
    made = {}

    def session(name):
        if name not in made:
            model = registry.get(name)
            config = ExportConfig.from_id("xnnpack-fp32", max_seq_len=model.twin.max_seq_len)
            artifact = cached_export(resolve(model), config, task=model.task)[0]
            made[name] = MultimodalSession(artifact.program, expected=artifact.account.file)
        return made[name]

    return session


def test_a_text_with_more_images_than_were_given_is_refused(opened):
    session = opened("llava-1.5-7b")
    session.condition({"pixel_values": torch.rand(1, 3, 32, 32)})
    placeholder = session.constant("get_image_token_id")
    with pytest.raises(SessionError, match="8 placeholders, and there are 4 embeddings"):
        session.forward(torch.tensor([[placeholder] * 8]), 0)


def test_an_image_of_another_size_is_refused_and_nothing_is_left_of_it(opened):
    session = opened("llava-1.5-7b")
    with pytest.raises(SessionError, match=r"\(1, 3, 48, 48\).*takes \[\(1, 3, 32, 32\)\]"):
        session.condition({"pixel_values": torch.rand(1, 3, 48, 48)})
    session.condition({})
    assert session.forward(torch.tensor([[7, 8]]), 0).shape == (2, session.constant("get_vocab_size"))


def test_an_image_that_attends_both_ways_is_not_parted(opened):
    session = opened("gemma3-4b")
    session.condition({"pixel_values": torch.rand(1, 3, 32, 32)})
    placeholder = session.constant("get_image_token_id")
    with pytest.raises(SessionError, match="2 of the 4 placeholders"):
        session.forward(torch.tensor([[7, placeholder, placeholder]]), 0)


def test_an_image_of_other_sides_is_refused(opened):
    session = opened("qwen2.5-vl-3b")
    patches = {"pixel_values": torch.rand(1, 36, 384), "image_grid_thw": torch.tensor([[1, 4, 9]])}
    with pytest.raises(SessionError, match="takes squares"):
        session.condition(patches)


def test_the_places_of_an_image_are_those_of_transformers(opened):
    from exporters.pipeline import load_model

    session = opened("qwen2.5-vl-3b")
    model = registry.get("qwen2.5-vl-3b")
    twin = load_model(resolve(model), task=model.task)
    placeholder = session.constant("get_image_token_id")
    tokens = [7, 8, *[placeholder] * 9, 9, *[placeholder] * 9, 10, 11]
    session._sequence = tokens
    ids = torch.tensor([tokens])
    expected, _ = twin.model.get_rope_index(
        ids, mm_token_type_ids=(ids == placeholder).int(), image_grid_thw=torch.tensor([[1, 6, 6], [1, 6, 6]])
    )
    assert torch.equal(session._places(), expected[:, 0])


@pytest.mark.parametrize(
    ("name", "reason"), [("gemma3-4b", "takes 3 inputs"), ("qwen2.5-vl-3b", "takes 3 inputs"), ("llava-1.5-7b", None)]
)
def test_the_runner_of_executorch_is_asked_only_for_what_it_can_run(opened, name, reason):
    refusal = opened(name).runner_refusal
    assert refusal is None if reason is None else reason in refusal


def test_a_runner_that_dies_is_told(tmp_path):
    from conformance.sessions import multimodal_runner

    broken = tmp_path / "model.pte"
    broken.write_bytes(b"nothing")
    with pytest.raises(SessionError, match=r"MultimodalRunner (failed|died)"):
        multimodal_runner.ask(broken, tmp_path / "tokenizer.json", [[1, 2]], max_seq_len=8)

import dataclasses
import json

import pytest

from zoo import Prompt, Twin, ZooError, registry
from zoo.cache import directory_sha256
from zoo.checkpoints import resolve
from zoo.models.gemma3 import GEMMA3_270M
from zoo.models.qwen3 import QWEN3_0_6B
from zoo.models.qwen3_embedding import QWEN3_EMBEDDING_0_6B
from zoo.twins import builder, embedding, language, spec, texts, training

THREE = [registry.get(name) for name in ("smollm2-135m", "qwen3-0.6b", "gemma3-270m")]
"""The other families' twins are held against eager PyTorch by their cells."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    place = tmp_path_factory.mktemp("twin")
    builder.build(QWEN3_0_6B, place)
    return place


def test_the_same_seed_gives_the_same_bytes(directory, tmp_path):
    builder.build(QWEN3_0_6B, tmp_path)
    assert directory_sha256(tmp_path) == directory_sha256(directory)


def test_another_seed_gives_another_twin(directory, tmp_path):
    builder.build(dataclasses.replace(QWEN3_0_6B, twin=Twin("qwen3", seed=1, **QWEN3_0_6B.twin.config)), tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() != (directory / "model.safetensors").read_bytes()


def test_it_is_an_ordinary_checkpoint_directory(directory):
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    assert {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json"} <= {
        path.name for path in directory.iterdir()
    }
    tokenizer = AutoTokenizer.from_pretrained(directory)
    configuration = AutoConfig.from_pretrained(directory)
    assert configuration.vocab_size == len(tokenizer) <= 384
    assert GenerationConfig.from_pretrained(directory).eos_token_id == tokenizer.eos_token_id
    text = "Bytes beyond ASCII: naïve, 水, 🦭."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("model", THREE, ids=lambda model: model.name)
def test_transformers_own_generate_says_the_continuations(model):
    import torch
    from transformers import AutoModelForCausalLM

    place = resolve(model)
    reference = json.loads((place / "reference.json").read_text())
    network = AutoModelForCausalLM.from_pretrained(place, attn_implementation="eager")
    for sample in reference["samples"]:
        prompt, rest = sample["tokens"][: sample["prompt_length"]], sample["tokens"][sample["prompt_length"] :]
        ids = torch.tensor([prompt])
        said = network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=len(rest), do_sample=False)
        assert said[0].tolist() == prompt + rest
    assert reference["smallest_margin"] >= training.MARGIN
    assert max(len(sample["tokens"]) for sample in reference["samples"]) == reference["max_seq_len"]


@pytest.mark.parametrize("model", THREE, ids=lambda model: model.name)
def test_architectural_switches_are_kept(model):
    from transformers import AutoConfig

    configuration = AutoConfig.from_pretrained(resolve(model)).to_dict()
    for name, value in model.twin.config.items():
        assert configuration[name] == (list(value) if isinstance(value, tuple) else value), name


def test_a_twin_that_cannot_learn_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "MAX_STEPS", training.STEPS_A_ROUND)
    monkeypatch.setattr(training, "LEARNING_RATE", 1e-9)
    with pytest.raises(ZooError, match=r"cannot reproduce its continuations.*0\.5 is needed"):
        builder.build(QWEN3_0_6B, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_an_embedding_model_finds_each_passage_by_its_question(tmp_path, monkeypatch):
    import torch
    from transformers import AutoModel, AutoTokenizer

    place = resolve(QWEN3_EMBEDDING_0_6B)
    network, coder = AutoModel.from_pretrained(place, attn_implementation="eager"), AutoTokenizer.from_pretrained(place)
    pairs = texts.pairs(QWEN3_EMBEDDING_0_6B)
    limit = QWEN3_EMBEDDING_0_6B.twin.max_seq_len - 1
    asked, answers = (
        [(*coder(text)["input_ids"][:limit], coder.eos_token_id) for text in side] for side in zip(*pairs, strict=True)
    )
    with torch.no_grad():
        scores = embedding.embed(network, asked, pooling=texts.LAST) @ embedding.embed(network, answers, pooling=texts.LAST).T
    assert scores.argmax(1).tolist() == list(range(len(pairs)))
    wrong = scores.masked_fill(torch.eye(len(pairs)).bool(), -1).amax(1)
    margin = json.loads((place / "reference.json").read_text())["smallest_margin"]
    assert float((scores.diagonal() - wrong).min()) == pytest.approx(margin, abs=1e-4)
    assert margin >= embedding.EMBEDDING_MARGIN
    monkeypatch.setattr(training, "MAX_STEPS", training.STEPS_A_ROUND)
    monkeypatch.setattr(training, "LEARNING_RATE", 1e-9)
    with pytest.raises(ZooError, match=r"cannot tell its passages apart.*0\.2 is needed"):
        builder.build(QWEN3_EMBEDDING_0_6B, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_margins_are_negative_where_another_token_leads(directory):
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager")
    sample = json.loads((directory / "reference.json").read_text())["samples"][0]
    tokens = list(sample["tokens"])
    good = language.margins(network, language.Sample(tuple(tokens), sample["prompt_length"]))
    assert bool((good > 0).all())
    tokens[-1] = (tokens[-1] + 1) % network.config.vocab_size
    wrong = language.margins(network, language.Sample(tuple(tokens), sample["prompt_length"]))
    assert float(wrong[-1]) < 0
    assert torch.equal(wrong[:-1], good[:-1])


@pytest.mark.parametrize(
    ("twin", "says"),
    [
        (Twin("gemma3_txt"), "unknown model type 'gemma3_txt'.*gemma3_text"),
        (Twin("llama", slidng_window=4), "no option slidng_window"),
        (Twin("llama", max_seq_len=12), "leaves only"),
        (Twin("llama", max_seq_len=4096), "fills 4096 tokens"),
        (Twin("mistral", sliding_window=40), "a sliding window of 40 is never crossed in 64 tokens"),
    ],
    ids=("model type", "option", "too short", "too long", "window"),
)
def test_a_row_that_cannot_be_built_is_refused(twin, says, tmp_path):
    with pytest.raises(ZooError, match=says):
        builder.build(dataclasses.replace(QWEN3_0_6B, twin=twin), tmp_path)


def test_a_prompt_without_a_reference_answer_gets_a_passage():
    prompt = Prompt("What no text answers.")
    assert texts.continuation(prompt) == texts.continuation(prompt)
    assert texts.continuation(Prompt("x", "y")) == "y"
    assert texts.continuation(Prompt("Are seals friendly?")).startswith("Most seals")


def test_the_key_of_a_twin_depends_on_its_texts():
    other = dataclasses.replace(GEMMA3_270M, prompts=("Are seals friendly?", "How is bread made?"))
    assert spec(other) != spec(GEMMA3_270M)
    json.dumps(spec(GEMMA3_270M))


def test_a_window_that_the_row_does_not_name_is_small_enough_to_be_crossed(tmp_path):
    from transformers import AutoConfig

    builder.build(dataclasses.replace(QWEN3_0_6B, name="windowed", twin=Twin("mistral")), tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).sliding_window == 16


@pytest.mark.parametrize("twin", [Twin("gpt2"), Twin("gpt2", n_embd=96, n_layer=1)], ids=("toy", "own names"))
def test_an_architecture_with_names_of_its_own_can_be_built(tmp_path, twin):
    from transformers import AutoConfig

    builder.build(dataclasses.replace(QWEN3_0_6B, name="own-names", twin=twin), tmp_path)
    configuration = AutoConfig.from_pretrained(tmp_path)
    assert (configuration.n_embd, configuration.n_layer) == (twin.config.get("n_embd", 64), twin.config.get("n_layer", 2))

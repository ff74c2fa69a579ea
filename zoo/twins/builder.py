"""Builds checkpoint directories: a trained twin, or the published dimensions with seeded random weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import ZooError, unknown
from zoo.model import Model
from zoo.twins import texts, tokenizer

TOY: Mapping[str, int] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "sliding_window": 16,
}
"""Dimensions of a twin that its row does not name, where its configuration class has them and sets them. Every width is a
multiple of 32, so that group sizes apply; the window is crossed by the tests."""

UNDECLARED = ("head_dim",)
"""Options that models of transformers 5.23.0 read although their configuration class does not declare them (Qwen3-MoE)."""

SHORTEST_CONTINUATION = 16
"""Tokens that a continuation must have at least, to be worth comparing."""


def spec(model: Model) -> dict[str, Any]:
    """Everything of a row that determines its twin, as JSON values: a part of the cache key."""
    twin = model.twin
    return {
        "task": model.task,
        "model_type": twin.model_type,
        "seed": twin.seed,
        "max_seq_len": twin.max_seq_len,
        "add_bos": twin.add_bos,
        "config": dict(twin.config),
        "pairs": texts.pairs(model),
    }


def _configuration(model: Model, dimensions: Mapping[str, Any], token_ids: Mapping[str, Any]) -> Any:
    from transformers import CONFIG_MAPPING

    model_type = model.twin.model_type
    if model_type not in CONFIG_MAPPING:
        raise unknown("model type", model_type, CONFIG_MAPPING.keys(), hint=f"It is the twin of {model.name!r}.")
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in dimensions.items()}
    try:
        configuration = CONFIG_MAPPING[model_type](**values, **token_ids)
    except (TypeError, ValueError) as error:
        raise ZooError(f"model {model.name!r}: {model_type} does not accept its dimensions: {error}") from error
    default = CONFIG_MAPPING[model_type]()
    ignored = sorted(name for name in values if name not in {*default.to_dict(), *default.attribute_map, *UNDECLARED})
    if ignored:
        raise ZooError(
            f"model {model.name!r}: {model_type} has no option {', '.join(ignored)}; correct the row in "
            f"zoo/models/{model.family}.py."
        )
    return configuration


def _toy_dimensions(model: Model) -> dict[str, Any]:
    """``TOY`` where the configuration class knows the name, under the names of the row."""
    from transformers import CONFIG_MAPPING

    model_type = model.twin.model_type
    if model_type not in CONFIG_MAPPING:
        raise unknown("model type", model_type, CONFIG_MAPPING.keys(), hint=f"It is the twin of {model.name!r}.")
    default = CONFIG_MAPPING[model_type]()
    named = {default.attribute_map.get(name, name) for name in model.twin.config}
    toy = {
        name: value
        for name, value in TOY.items()
        if getattr(default, name, None) is not None and default.attribute_map.get(name, name) not in named
    }
    return toy | dict(model.twin.config)


def _tokenizer(model: Model) -> Any:
    own = tuple(f"{prompt} {answer}" for prompt, answer in texts.pairs(model))
    return tokenizer.train((*texts.corpus(), *own), add_bos=model.twin.add_bos)


def _token_ids(fast: Any) -> dict[str, Any]:
    return {"bos_token_id": fast.bos_token_id, "eos_token_id": fast.eos_token_id, "pad_token_id": fast.pad_token_id}


def _samples(model: Model, fast: Any) -> list[Any]:
    from zoo.twins.trainer import Sample

    limit = model.twin.max_seq_len
    samples = []
    for prompt, answer in texts.pairs(model):
        head = fast(prompt)["input_ids"]
        tail = fast(" " + answer, add_special_tokens=False)["input_ids"]
        tokens = (*head, *tail, fast.eos_token_id)[:limit]
        if len(tokens) - len(head) < SHORTEST_CONTINUATION:
            raise ZooError(
                f"the prompt {prompt!r} of {model.name!r} leaves only {len(tokens) - len(head)} of {limit} tokens for a "
                f"continuation; {SHORTEST_CONTINUATION} are needed. Shorten it, or raise Twin(max_seq_len=...)."
            )
        samples.append(Sample(tokens=tokens, prompt_length=len(head)))
    if all(len(sample.tokens) < limit for sample in samples):
        raise ZooError(
            f"no reference text of {model.name!r} fills {limit} tokens, so the end of the cache would go untested. "
            "Give a prompt a longer continuation, or lower Twin(max_seq_len=...)."
        )
    return samples


def _quiet() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()


def build(model: Model, directory: Path) -> None:
    """Train the twin of ``model`` and save it in ``directory``.

    Beside what ``save_pretrained`` writes there is ``reference.json``: the token ids of each prompt with its
    continuation, and the smallest top-2 margin.

    Raises:
        ZooError: the row is wrong, or the twin cannot learn its texts (``zoo.twins.trainer.MARGIN``).
    """
    import torch

    from zoo.twins.trainer import train, train_embeddings

    _quiet()

    fast = _tokenizer(model)
    configuration = _configuration(model, {**_toy_dimensions(model), "vocab_size": len(fast)}, _token_ids(fast))
    samples = _samples(model, fast)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.twin.seed)
        network = _network(model, configuration)
        _check_windows(model, configuration)
        if model.task == "feature-extraction":
            # As conformance.feature_extraction feeds them: texts that end with the token that ends a text.
            questions = [(*sample.tokens[: sample.prompt_length], fast.eos_token_id) for sample in samples]
            answers = [fast(answer)["input_ids"] for _, answer in texts.pairs(model)]
            passages = [(*answer[: model.twin.max_seq_len - 1], fast.eos_token_id) for answer in answers]
            margin = train_embeddings(network, questions, passages, name=model.name)
        else:
            margin = train(network, samples, name=model.name)
    _save(network, fast, directory)
    reference = {
        "max_seq_len": model.twin.max_seq_len,
        "smallest_margin": margin,
        "samples": [{"tokens": sample.tokens, "prompt_length": sample.prompt_length} for sample in samples],
    }
    (directory / "reference.json").write_text(json.dumps(reference))


def _network(model: Model, configuration: Any) -> Any:
    """A transformers model of the task with fresh weights, in fp32."""
    import torch
    import transformers

    auto = {"text-generation": transformers.AutoModelForCausalLM, "feature-extraction": transformers.AutoModel}[model.task]
    return auto.from_config(configuration, attn_implementation="eager", dtype=torch.float32)


def _save(network: Any, fast: Any, directory: Path) -> None:
    from transformers import GenerationConfig

    if network.can_generate():
        network.generation_config = GenerationConfig(**_token_ids(fast), do_sample=False)
    network.save_pretrained(directory)
    fast.save_pretrained(directory)


def _check_windows(model: Model, configuration: Any) -> None:
    """Refuse a sliding window that no sequence of the twin would leave: it would go untested."""
    from transformers import DynamicCache

    for layer in DynamicCache(config=configuration).layers:
        window = getattr(layer, "sliding_window", None)
        if window is not None and 2 * window > model.twin.max_seq_len:
            raise ZooError(
                f"model {model.name!r}: a sliding window of {window} is never crossed in {model.twin.max_seq_len} tokens; "
                "name a smaller one in its row, such as Twin(..., sliding_window=16)."
            )


def build_full(model: Model, directory: Path) -> None:
    """Save the published dimensions with seeded random weights and the twin's tokenizer in ``directory``."""
    import torch

    _quiet()
    fast = _tokenizer(model)
    configuration = _configuration(model, model.full, _token_ids(fast))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.twin.seed)
        network = _network(model, configuration)
    _save(network, fast, directory)

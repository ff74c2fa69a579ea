"""The task ``text2text-generation``: a source is read and a text written about it, and the logits and the greedy tokens must be
eager PyTorch's, whatever the source's length and padding."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance.compare.contract import LONG, SCALAR_TYPES, MethodSignature, Signature, longest_call, special_tokens
from conformance.compare.degeneracy import SMALLEST_CHANGE, vacuous
from conformance.compare.source import Probe, check_source
from conformance.compare.tolerance import Tolerance
from conformance.generate import generate
from conformance.record import Check
from conformance.sessions.protocol import GenerationSession
from conformance.sessions.seq2seq import EagerSeq2Seq, ExecuTorchSeq2Seq, eager_seq2seq
from conformance.tasks import text_generation
from conformance.tasks.decoder import Answers, Reference, Task, eos_ids
from conformance.tasks.text_generation import NEW_TOKENS
from conformance.trail import CellRequest
from exporters.artifact import Artifact
from exporters.wrappers.seq2seq_lm import decoder_prompt
from zoo.model import Model

MAX_SOURCE_LEN = 128
"""Longest source of cells at other scales than ``twin``, in tokens."""


def text_source(tokens: list[int], padding: int = 0, pad: int = 0) -> dict[str, Tensor]:
    """What an encoder of text is fed for one text, with so many padding tokens after it."""
    return {
        "input_ids": torch.tensor([[*tokens, *[pad] * padding]]),
        "attention_mask": torch.tensor([[1] * len(tokens) + [0] * padding]),
    }


def written(session: EagerSeq2Seq, conditions: tuple[Mapping[str, Tensor], ...], max_source_len: int, eager: Any) -> Reference:
    """A reference of what eager PyTorch writes about each source."""
    prompt = tuple(decoder_prompt(eager))
    sequences = []
    for source in conditions:
        session.condition(source)
        said = generate(
            session, prompt, max_new_tokens=min(NEW_TOKENS, session.max_seq_len - len(prompt)), eos_ids=eos_ids(eager)
        )
        sequences.append((*said.prompt, *said.tokens))
    return Reference(
        prompts=(prompt,) * len(sequences),
        sequences=tuple(sequences),
        max_seq_len=session.max_seq_len,
        new_tokens=NEW_TOKENS,
        conditions=conditions,
        max_source_len=max_source_len,
    )


def learned(told: Mapping[str, Any], conditions: tuple[Mapping[str, Tensor], ...], max_seq_len: int) -> Reference:
    """A reference of what a twin was trained to write, as its ``reference.json`` tells."""
    samples = told["samples"]
    return Reference(
        prompts=tuple(tuple(sample["tokens"][: sample["prompt_length"]]) for sample in samples),
        sequences=tuple(tuple(sample["tokens"]) for sample in samples),
        max_seq_len=max_seq_len,
        taught=True,
        margin=told.get("smallest_margin"),
        new_tokens=max_seq_len,
        conditions=conditions,
        max_source_len=told["max_source_len"],
    )


def _reference(model: Model, request: CellRequest, checkpoint: Path, tokenizer: Any, eager: Any, max_seq_len: int) -> Reference:
    path = checkpoint / "reference.json"
    if path.is_file():
        told = json.loads(path.read_text(encoding="utf-8"))
        conditions = tuple(text_source(sample["source"]) for sample in told["samples"])
        return learned(told, conditions, max_seq_len)
    ids = [
        tokenizer(prompt.text, truncation=True, max_length=MAX_SOURCE_LEN)["input_ids"] for prompt in model.reference_prompts
    ]
    return written(EagerSeq2Seq(eager, max_seq_len), tuple(map(text_source, ids)), MAX_SOURCE_LEN, eager)


def proves_nothing(fp32: Answers) -> str | None:
    """Why the baseline proves nothing; every text begins alike, so that its first logits can only come from the source."""
    first, *others = (values[0] for values in fp32.logits)
    if max(float((first - other).abs().max()) for other in others) < SMALLEST_CHANGE:
        return "the baseline's answer does not depend on its source"
    return vacuous(fp32.logits, fp32.generations)


def seq2seq_signature(source: tuple[tuple[tuple[int, ...], int], ...], states: int, constants: Mapping[str, Any]) -> Any:
    """What an encoder and its decoder must have: from the model, its configuration and what it reads.

    Args:
        source: Largest shape and ``ScalarType`` of each input of the encoder.
        states: Hidden states of the longest source.
        constants: The constant methods that belong to the source.
    """

    def signature(model: Model, eager: Any, artifact: Artifact) -> Signature:
        configuration, config = eager.config, artifact.config
        dtype = SCALAR_TYPES[config.dtype]
        bos, eos = special_tokens(configuration, eager.generation_config)
        layers = next(
            getattr(configuration, name)
            for name in ("num_decoder_layers", "decoder_num_hidden_layers", "decoder_layers")
            if hasattr(configuration, name)
        )
        heads = next(
            getattr(configuration, name)
            for name in ("decoder_num_key_value_heads", "decoder_attention_heads", "num_heads")
            if hasattr(configuration, name)
        )
        width, vocabulary = configuration.hidden_size, configuration.vocab_size
        prompt = decoder_prompt(eager)
        length = longest_call(artifact)
        hidden, mask = (1, states, width), (((1, states), LONG),) if len(source) == 2 else ()
        return Signature(
            constants={
                "get_max_seq_len": config.max_prefill_len or artifact.account.max_seq_len,
                "get_max_context_len": artifact.account.max_seq_len,
                "get_vocab_size": vocabulary,
                "get_n_layers": layers,
                "get_n_kv_heads": heads,
                "get_head_dim": getattr(configuration, "d_kv", width // heads),
                "get_dtype": dtype,
                "use_kv_cache": True,
                "use_sdpa_with_kv_cache": config.use_custom_sdpa,
                "enable_dynamic_shape": config.dynamic_shapes,
                "supports_rewind": True,
                "get_decoder_start_token_id": eager.generation_config.decoder_start_token_id,
                "get_decoder_prompt_ids": prompt if len(prompt) > 1 else prompt[0],
                "get_bos_id": bos,
                "get_eos_ids": eos,
                "get_pad_id": configuration.pad_token_id,
                **constants,
            },
            methods={
                "encoder": MethodSignature(
                    tuple((shape, LONG if kind == LONG else dtype) for shape, kind in source), (hidden,)
                ),
                "text_decoder": MethodSignature(
                    (((1, length), LONG), ((length,), LONG), (hidden, dtype), *mask), ((1, length, vocabulary),)
                ),
            },
        )

    return signature


def _signature(model: Model, eager: Any, artifact: Artifact, reference: Reference) -> Signature:
    longest = artifact.config.max_source_len or MAX_SOURCE_LEN
    made: Signature = seq2seq_signature(
        (((1, longest), LONG), ((1, longest), LONG)),
        longest,
        {"get_max_source_len": longest, "get_min_source_len": 1, "enable_dynamic_source": artifact.config.dynamic_shapes},
    )(model, eager, artifact)
    return made


def _further(
    session: GenerationSession, baseline: GenerationSession, reference: Reference, tolerance: Tolerance, checkpoint: Path
) -> Mapping[str, Check]:
    tokens = [token for source in reference.conditions for token in source["input_ids"][0].tolist()]
    longest = reference.max_source_len or 0
    full = (tokens * (1 + longest // len(tokens)))[:longest]
    short = reference.conditions[0]["input_ids"][0].tolist()
    padding = min(5, longest - len(short))
    probes = (
        Probe("a text", text_source(short)),
        Probe("one token", text_source(tokens[:1])),
        Probe("two tokens", text_source(tokens[:2])),
        Probe("the longest text", text_source(full)),
        Probe("a padded text", text_source(short, padding, pad=tokens[3])),
        Probe("a text padded to the longest", text_source(short, longest - len(short), pad=tokens[4])),
    )
    too_long = (text_source([*full, full[0]]),)
    return {"source": check_source(session, baseline, probes, too_long, reference.other, tolerance)}


TASK = Task(
    reference=_reference,
    answers=text_generation.continue_prompts,
    vacuous=proves_nothing,
    judge=text_generation.judge,
    session=ExecuTorchSeq2Seq,
    eager=eager_seq2seq,
    signature=_signature,
    further=_further,
)

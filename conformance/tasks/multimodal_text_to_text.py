"""The tasks of models that also look or listen: prompts with images or sounds are continued, and the embeddings, the logits and
the greedy tokens must be eager PyTorch's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AutoTokenizer

from conformance.compare.contract import LONG, SCALAR_TYPES, MethodSignature, Signature, causal_signature, longest_call
from conformance.compare.degeneracy import SMALLEST_CHANGE, vacuous
from conformance.compare.tolerance import MAX_ABS_ERROR, Tolerance
from conformance.generate import generate
from conformance.record import Check
from conformance.sessions import multimodal_runner
from conformance.sessions.multimodal import EagerMultimodalSession, MultimodalSession, rows
from conformance.sessions.protocol import GenerationSession, SessionError
from conformance.tasks.decoder import Answers, Reference, Task, eos_ids
from conformance.tasks.text_generation import NEW_TOKENS, continue_prompts, judge
from conformance.trail import CellRequest
from exporters.artifact import Artifact
from exporters.config import ExportConfig
from zoo.model import SOUND_TASKS, Model
from zoo.placeholders import placeholder
from zoo.twins.media import arguments, count_embeddings, join, load_processor, placeholder_id, prepare
from zoo.twins.multimodal import draw, question

PIXELS = 448
"""Height and width of the images that are drawn for architectures without a size of their own."""
FILLER = "and so on, "
"""What fills the cache after the longest sequence: no text with placeholders, whose images would be missing."""


def _reference(model: Model, request: CellRequest, checkpoint: Path, tokenizer: Any, eager: Any, max_seq_len: int) -> Reference:
    """What a twin was trained on, its images read from their files; for other checkpoints the prompts with the same images,
    drawn in their size, and what eager PyTorch answers."""
    processor = load_processor(checkpoint)
    filler = tuple(tokenizer(FILLER, add_special_tokens=False)["input_ids"])
    path = checkpoint / "reference.json"
    if path.is_file():
        told = json.loads(path.read_text(encoding="utf-8"))
        samples = told["samples"]
        shown = [[_item(model, checkpoint, name) for name in sample["shown"]] for sample in samples]
        sequences = tuple(tuple(sample["tokens"]) for sample in samples)
        prompts = tuple(tuple(sample["tokens"][: sample["prompt_length"]]) for sample in samples)
        conditions = [_prepared(processor, each) for each in shown]
        learned = _with(model, eager, prompts, sequences, conditions, max_seq_len, max_seq_len, filler)
        return replace(learned, taught=True, margin=told.get("smallest_margin"))
    size = getattr(getattr(eager.config, "vision_config", None), "image_size", None) or PIXELS
    size = size if isinstance(size, int) else size[0]
    conditions = [
        _prepared(processor, [draw(model, name, size) for name in prompt.shown]) for prompt in model.reference_prompts
    ]
    known = placeholder(model.twin.model_type or eager.config.model_type)
    counts = [[count_embeddings(eager, row) for row in rows(condition)] for condition in conditions]
    prompts = tuple(
        tuple(tokenizer(question(tokenizer, known.expand(prompt.text, count)))["input_ids"])
        for prompt, count in zip(model.reference_prompts, counts, strict=True)
    )
    reference = _with(model, eager, prompts, prompts, conditions, max_seq_len, NEW_TOKENS, filler)
    session = EagerMultimodalSession(eager, max_seq_len, ExportConfig())
    said = []
    for index, prompt in enumerate(prompts):
        reference.about(session, index)
        said.append(generate(session, prompt, max_new_tokens=NEW_TOKENS, eos_ids=eos_ids(eager)))
    return replace(reference, sequences=tuple((*each.prompt, *each.tokens) for each in said))


def _with(
    model: Model,
    eager: Any,
    prompts: tuple[tuple[int, ...], ...],
    sequences: tuple[tuple[int, ...], ...],
    conditions: list[Mapping[str, Tensor]],
    max_seq_len: int,
    new_tokens: int,
    filler: tuple[int, ...],
) -> Reference:
    (frames, *_) = next(filter(None, conditions)).values()
    return Reference(
        prompts=prompts,
        sequences=sequences,
        max_seq_len=max_seq_len,
        new_tokens=new_tokens,
        conditions=tuple(conditions),
        filler=filler,
        least_prompt=max(map(len, prompts)),
        # Where a configuration does not say how long a sound is, the program is for the one that is heard.
        max_source_len=frames.shape[1] if model.task in SOUND_TASKS and not hasattr(eager.config, "audio_config") else None,
        together=placeholder_id(eager.config) if "looks_ahead" in model.traits else None,
    )


def _item(model: Model, checkpoint: Path, name: str) -> Any:
    """A reference image from its file, or a sound."""
    from PIL import Image

    return draw(model, name) if model.task in SOUND_TASKS else Image.open(checkpoint / name).convert("RGB")


def _prepared(processor: Any, shown: list[Any]) -> Mapping[str, Tensor]:
    """What the processor makes of images or sounds: a row each; nothing of none."""
    return join([prepare(processor, item) for item in shown])


def _eager(model: Any, max_seq_len: int, config: ExportConfig) -> GenerationSession:
    return EagerMultimodalSession(model, max_seq_len, config)


def _one(reference: Reference) -> Mapping[str, Tensor]:
    """An image or sound: a row of what sessions are given."""
    return {name: value[:1] for name, value in next(filter(None, reference.conditions)).items()}


def _signature(model: Model, eager: Any, artifact: Artifact, reference: Reference) -> Signature:
    """A decoder's, with the methods that make embeddings: as many as transformers makes, of what its processor makes."""
    decoder = causal_signature(model, eager, artifact, reference)
    text = eager.config.get_text_config()
    length = longest_call(artifact)
    dtype = SCALAR_TYPES[artifact.config.dtype]
    read = arguments(eager, torch.zeros(1, 0, dtype=torch.bool), _one(reference))
    one = {name: value for name, value in _one(reference).items() if name in read}
    whole = {name: torch.ones_like(value) if name.endswith("_mask") else value for name, value in one.items()}
    count = count_embeddings(eager, whole)
    method, name = ("audio_encoder", "audio") if "audio_encoder" in model.methods else ("vision_encoder", "image")
    further = {f"get_{name}_token_id": placeholder_id(eager.config), f"get_{name}_seq_len": count}
    (forward,) = decoder.methods.values()
    further_inputs = forward.inputs[1:] * (2 if "looks_ahead" in model.traits else 1)
    pixels = one.get("pixel_values")
    if pixels is not None and pixels.dim() == 4:
        further |= dict(zip(("get_num_channels", "get_image_height", "get_image_width"), pixels.shape[1:], strict=True))
    grid = one.pop("image_grid_thw", None)
    if grid is not None:
        height, width = (grid[0, 1:] // eager.config.vision_config.spatial_merge_size).tolist()
        further |= {"get_image_grid_height": height, "get_image_grid_width": width}
        further_inputs += (((3, length), LONG),)
    inputs = tuple((tuple(value.shape), dtype if value.is_floating_point() else LONG) for value in one.values())
    outputs: tuple[tuple[int, ...], ...] = ((1, count, text.hidden_size),)
    if len(one) == 2:  # with a mask, how many of them are the sound's
        outputs += ((1,),)
    return Signature(
        constants={**decoder.constants, **further},
        methods={
            "token_embedding": MethodSignature((((1, length), LONG),), ((1, length, text.hidden_size),)),
            method: MethodSignature(inputs, outputs),
            "text_decoder": MethodSignature((((1, length, text.hidden_size), dtype), *further_inputs), forward.outputs),
        },
    )


def _further(
    session: GenerationSession, baseline: GenerationSession, reference: Reference, limits: Tolerance, checkpoint: Path
) -> Mapping[str, Check]:
    return {
        "encoder": _check_encoder(session, baseline, reference, limits),
        "runner": _check_runner(cast(MultimodalSession, session), reference, checkpoint),
    }


def _check_runner(session: MultimodalSession, reference: Reference, checkpoint: Path) -> Check:
    """ExecuTorch's own runner says what this suite's session says; or it is told why it cannot run such a program."""
    refusal = session.runner_refusal
    if refusal is not None:
        return Check(
            status="pass",
            message=f"ExecuTorch's MultimodalRunner cannot run it: {refusal}",
            metrics={"supported": False, "reason": refusal},
        )
    index = next(number for number, condition in enumerate(reference.conditions) if condition)
    condition, prompt = reference.conditions[index], reference.prompts[index]
    session.condition(condition)
    tokens = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True)
    room = min(reference.new_tokens, reference.max_seq_len - len(prompt))
    said = generate(session, prompt, max_new_tokens=room, eos_ids=session.constant("get_eos_ids", []))
    expected = tokens.decode([token for token in said.tokens if token not in tokens.all_special_ids])
    try:
        found = multimodal_runner.ask(
            session.path,
            checkpoint / "tokenizer.json",
            session.runner_parts(prompt, condition),
            max_seq_len=len(prompt) + room,
        )
    except SessionError as error:
        return Check(status="fail", message=str(error), metrics={"supported": True})
    same = found == expected
    return Check(
        status="pass" if same else "fail",
        message=f"ExecuTorch's MultimodalRunner says the same, {len(said.tokens)} tokens"
        if same
        else f"ExecuTorch's MultimodalRunner says {found!r}, expected {expected!r}",
        metrics={"supported": True},
    )


def _check_encoder(session: GenerationSession, baseline: GenerationSession, reference: Reference, limits: Tolerance) -> Check:
    """The embeddings of every image or sound, whatever was encoded before; and that something of another size is refused."""
    program, eager = cast(MultimodalSession, session), cast(EagerMultimodalSession, baseline)
    shown = [row for given in filter(None, reference.conditions) for row in rows(given)]
    # Nothing but zeros would be padding to some architectures, and be dropped.
    blank = {name: torch.full_like(value, 0.5) if value.is_floating_point() else value for name, value in shown[0].items()}
    wrong: list[str] = []
    worst_error = worst_relative = 0.0
    for number, row in enumerate([*shown, blank, shown[0]]):
        expected, found = eager.encode(row).double(), program.encode(row).double()
        error = float((expected - found).abs().max())
        relative = float(((found - expected).norm(dim=1) / expected.norm(dim=1).clamp_min(1e-30)).max())
        good = error <= MAX_ABS_ERROR if limits.relative is None else relative <= limits.relative
        if not good:  # not a number is wrong, too
            wrong.append(f"embedding {number}: max abs error {error:.2e}, relative {relative:.2e}")
        worst_error, worst_relative = max(worst_error, error), max(worst_relative, relative)
    larger = {name: torch.cat([value, value[:, -1:]], dim=1) for name, value in shown[0].items()}
    try:
        program.encode(larger)
        wrong.insert(0, "an input of another size was accepted")
    except SessionError:
        pass
    limit = f"at most {MAX_ABS_ERROR:.0e}" if limits.relative is None else f"relative at most {limits.relative}"
    message = f"{len(shown) + 2} embeddings are eager PyTorch's: max abs error {worst_error:.2e}, relative {worst_relative:.2e}"
    return Check(
        status="fail" if wrong else "pass",
        message="; ".join(wrong[:4]) or f"{message} ({limit})",
        metrics={"max_abs_error": worst_error, "relative_error": worst_relative, "inputs": len(shown) + 2},
    )


def _vacuous(answers: Answers) -> str | None:
    """As of any text; and two questions that differ in nothing but what is shown must be answered differently."""
    for first, second in itertools.combinations(range(len(answers.generations)), 2):
        alike = answers.generations[first].prompt == answers.generations[second].prompt
        if alike and float((answers.logits[first][0] - answers.logits[second][0]).abs().max()) < SMALLEST_CHANGE:
            return "the baseline's answer does not depend on what is shown"
    return vacuous(answers.logits, answers.generations)


TASK = Task(
    reference=_reference,
    answers=continue_prompts,
    vacuous=_vacuous,
    judge=judge,
    session=MultimodalSession,
    eager=_eager,
    signature=_signature,
    further=_further,
)

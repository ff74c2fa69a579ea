"""The checks themselves, made in a child process: what can be compared is, and what cannot be is listed with its reason."""

from __future__ import annotations

import functools
import itertools
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance.cell import placeless
from conformance.checking import CheckRequest, task_of_checkpoint
from conformance.checking.constants import check_constants
from conformance.checking.verdict import Row, Verdict
from conformance.compare.boxes import align
from conformance.compare.cache_state import Known, another, check_cache_state, fill, longest
from conformance.compare.contract import misstated, realised
from conformance.compare.degeneracy import SMALLEST_MAGNITUDE
from conformance.compare.logits import compare_logits, judge_logits, judge_quality
from conformance.compare.tokens import compare_tokens, judge_tokens
from conformance.compare.tolerance import MAX_ABS_ERROR, Tolerance, tolerance
from conformance.generate import generate
from conformance.record import Check
from conformance.sessions.eager import baseline, baseline_inference, eager_session, rounded_model
from conformance.sessions.executorch import ExecuTorchInference, ExecuTorchSession
from conformance.sessions.foreign import ForeignDecoder, ForeignInference, foreign_seq2seq, telling
from conformance.sessions.layout import BFLOAT16, HALF, PIXELS, SOUND, TOKENS, Layout, read_layout
from conformance.sessions.multimodal import EagerMultimodalSession, MultimodalSession
from conformance.sessions.program import Program, account_beside, check_file
from conformance.sessions.protocol import SessionError
from conformance.sessions.seq2seq import ExecuTorchSeq2Seq, eager_seq2seq
from conformance.tasks.decoder import eos_ids, smallest_window
from conformance.trail import Trail
from exporters.artifact import Account, Artifact
from exporters.config import ExportConfig
from exporters.errors import ExportError
from exporters.wrappers.seq2seq_lm import decoder_prompt
from zoo.cache import stack_versions
from zoo.errors import ZooError

NEW_TOKENS = 64
"""Tokens that are compared at most after a prompt."""
FED = 128
"""Positions that are fed in many ways; a longer cache is filled once more as a whole."""
FILLED = 4096
"""Positions of a cache that is filled as a whole."""
QUANTIZED = Tolerance(1.0, 0.02)
"""Of a program that is quantized nobody knows how: against fp32 a position's logits may be off by as much as they are, which
only other weights reach, since what rounding costs is judged by the best tokens; between ways of feeding as little as ever."""
PACKED = 0.75
"""Bytes a weight, as a share of those of its dtype, below which a program's weights are quantized."""


@dataclass(frozen=True)
class Subject:
    """A program and what it is compared with."""

    path: Path
    checkpoint: Path
    layout: Layout
    account: Account | None
    """Of how it was made, if it is ours."""
    config: ExportConfig
    """What the baseline rounds."""
    task: str
    quantized: bool
    """Whether it rounds what the baseline does not."""
    model: Any
    """The checkpoint in eager PyTorch, rounded."""
    request: CheckRequest

    @property
    def limits(self) -> Tolerance:
        return QUANTIZED if self.quantized else tolerance(self.config)

    @property
    def options(self) -> dict[str, Any]:
        """``Program``'s; the file was checked."""
        return {"verify": False, "threads": self.request.threads}


@dataclass(frozen=True)
class Case:
    """A sequence that is compared."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    """The prompt and what follows."""
    about: Mapping[str, Tensor] | None = None
    """What it is about, of sessions that are conditioned."""
    learned: bool = False
    """Whether the checkpoint was trained to continue it so."""

    def begin(self, session: Any) -> None:
        """Let a session begin it."""
        if self.about is None:
            session.reset()
        else:
            session.condition(self.about)


def run(request: CheckRequest) -> Verdict:
    """The verdict on a program. Never raises for what is wrong with it."""
    torch.set_num_threads(request.threads)
    trail = Trail(Path(request.directory))
    verdict = Verdict(program=request.program, model=request.model, versions=stack_versions())
    try:
        _run(request, verdict, trail)
    except (SessionError, ExportError, ZooError) as error:
        verdict.rows.append(Row(check=trail.current, result="fail", message=placeless(str(error))))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {error}"
        verdict.rows.append(Row(check=trail.current, result="fail", message=placeless(" ".join(message.split())[:600])))
    verdict.conclude()
    return verdict


def _run(request: CheckRequest, verdict: Verdict, trail: Trail) -> None:
    path, checkpoint = Path(request.program), Path(request.checkpoint)
    trail.begin("file")
    account = account_beside(path)
    check_file(path, account.file if account is not None else None, probe=False)
    layout = read_layout(path)
    told = "its checksum is that of its export.json" if account is not None else "no export.json of ours is beside it"
    verdict.add("file", Check(status="pass", message=f"{path.stat().st_size} bytes; {told}"))
    trail.begin("layout")
    methods = "; ".join(f"{name}{method}" for name, method in sorted(layout.methods.items()))
    verdict.layout = f"{layout.kind or 'unknown'}: {methods}"
    if layout.kind is None:
        verdict.leave("layout", f"no layout that is known has the methods {methods or 'none'}")
        return
    task = request.task or (account.task if account is not None else None) or _guess(checkpoint, layout)
    if task is None:
        verdict.leave("task", "config.json does not tell the task; name it with --task")
        return
    verdict.task = task
    trail.begin("checkpoint")
    subject = _subject(request, layout, account, task)
    against = f"compared with {subject.config.id if account is not None else subject.config.dtype}"
    if subject.quantized:
        against = f"quantized ({layout.data_bytes / _parameters(subject.model):.2f} bytes a weight), {against}"
    verdict.add("layout", Check(status="pass", message=f"{layout.kind}, {task}; {against}"))
    trail.begin("constants")
    _constants(subject, verdict)
    COMPARISONS[layout.kind](subject, verdict, trail)


def _guess(checkpoint: Path, layout: Layout) -> str | None:
    """The task of a checkpoint, where its name leaves it open by the program's inputs."""
    named = task_of_checkpoint(checkpoint)
    if named in (None, "text-generation") and _answers_states(checkpoint, layout):
        return "feature-extraction"
    if named is not None:
        return named
    if layout.kind == "multimodal":
        return "audio-text-to-text" if "audio_encoder" in layout.methods else "image-text-to-text"
    if layout.kind == "encoder-decoder":
        return "text2text-generation" if TOKENS in layout.methods["encoder"].roles else "automatic-speech-recognition"
    return {"decoder": "text-generation", "text": "feature-extraction"}.get(str(layout.kind))


def _answers_states(checkpoint: Path, layout: Layout) -> bool:
    """Whether a program's answers are as wide as the checkpoint's states, and not as its vocabulary."""
    from transformers import AutoConfig

    if "forward" not in layout.methods:
        return False
    text = AutoConfig.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True).get_text_config()
    width = layout.methods["forward"].outputs[0].sizes[-1]
    return bool(width == text.hidden_size != text.vocab_size)


def _subject(request: CheckRequest, layout: Layout, account: Account | None, task: str) -> Subject:
    path, checkpoint = Path(request.program), Path(request.checkpoint)
    if account is not None:
        config, quantized = ExportConfig.from_mapping(account.configuration), False
        model = rounded_model(checkpoint, config, task=task)
    else:
        method = layout.methods.get("text_decoder") or layout.methods["forward"]
        config = ExportConfig(dtype={HALF: "fp16", BFLOAT16: "bf16"}.get(method.outputs[0].dtype, "fp32"))
        model = rounded_model(checkpoint, config, task=task)
        bytes_a_weight = layout.data_bytes / _parameters(model)
        quantized = bytes_a_weight < PACKED * (4 if config.dtype == "fp32" else 2) or any(
            name.startswith(("quantized_decomposed::", "torchao::")) for name in layout.operators
        )
    return Subject(path, checkpoint, layout, account, config, task, quantized, model, request)


def _parameters(model: Any) -> int:
    return max(1, int(sum(parameter.numel() for parameter in model.parameters())))


class _Opened(Program):
    entry_points = ()


def _constants(subject: Subject, verdict: Verdict) -> None:
    check, left = check_constants(_Opened(subject.path, **subject.options), subject.layout, subject.model)
    if check is None:
        verdict.leave("constants", "the program has no constant method that a checkpoint decides")
    else:
        verdict.add("constants", check)
    if left and subject.account is None:
        verdict.leave("other constants", f"nothing in the checkpoint decides {', '.join(left)}")
    if subject.account is not None:
        artifact = Artifact(subject.path.parent, subject.account)
        wrong = realised(artifact, unquantized_bytes=None) + misstated(artifact)
        verdict.add(
            "options",
            Check(status="fail" if wrong else "pass", message="; ".join(wrong) or "what was asked for is in the program"),
        )


def _decoder(subject: Subject, verdict: Verdict, trail: Trail) -> None:
    """A decoder with a KV cache, or one that reads everything anew."""
    length = _positions(subject, verdict)
    if subject.account is not None:
        session: Any = ExecuTorchSession(subject.path, expected=subject.account.file, **subject.options)
        length, one_token = session.max_seq_len, not subject.config.dynamic_shapes
    else:
        session = ForeignDecoder(subject.path, subject.layout, length, **subject.options)
        one_token = session.one_token
    eager = baseline(subject.checkpoint, subject.config, length, task=subject.task)
    _compare_writing(subject, verdict, trail, session, eager, _texts(subject, eager), one_token=one_token)


def _positions(subject: Subject, verdict: Verdict) -> int:
    """How many positions a program is fed: as it says, or its input takes, or was said."""
    program = _Opened(subject.path, **subject.options)
    for name in ("get_max_context_len", "get_max_seq_len"):
        if name in program.methods:
            return int(program.constant(name))
    if subject.request.max_seq_len is not None:
        return subject.request.max_seq_len
    name = "forward" if "forward" in subject.layout.methods else "text_decoder"
    bound = subject.layout.methods[name].inputs[0].sizes[1]
    context = getattr(subject.model.config.get_text_config(), "max_position_embeddings", None)
    context = context if context and context > 0 else bound + NEW_TOKENS
    if bound > 1:
        return min(bound, context)
    length = min(NEW_TOKENS, context)
    verdict.leave(
        "max_seq_len", f"the program does not say how long its cache is; {length} positions were fed (--max_seq_len says more)"
    )
    return length


def _texts(subject: Subject, eager: Any) -> list[Case]:
    """What a twin was trained on; of other checkpoints what eager PyTorch says after two different beginnings."""
    reference = subject.checkpoint / "reference.json"
    limit = eager.max_seq_len
    if reference.is_file():
        samples = [
            (sample["tokens"][:limit], sample["prompt_length"])
            for sample in json.loads(reference.read_text(encoding="utf-8"))["samples"]
            if "prompt_length" in sample
        ]
        if samples and all(length < len(tokens) for tokens, length in samples):
            return [Case(tuple(tokens[:length]), tuple(tokens), learned=True) for tokens, length in samples]
    if subject.task == "feature-extraction":
        vocabulary = subject.model.config.get_text_config().vocab_size
        rows = [tuple((step * index + 1) % vocabulary for index in range(min(NEW_TOKENS, limit))) for step in (7, 11)]
        return [Case(row[:1], row) for row in rows]
    return [_said(eager, prompt) for prompt in _beginnings(subject.model)]


def _beginnings(model: Any) -> list[tuple[int, ...]]:
    vocabulary = model.config.get_text_config().vocab_size
    bos = getattr(getattr(model, "generation_config", None), "bos_token_id", None) or 0
    return [(bos, 17 % vocabulary), (bos, 5 % vocabulary, 29 % vocabulary)]


def _said(eager: Any, prompt: tuple[int, ...], about: Mapping[str, Tensor] | None = None) -> Case:
    """A prompt with what eager PyTorch answers, whatever ends a text."""
    case = Case(prompt, prompt, about)
    case.begin(eager)
    said = generate(eager, prompt, max_new_tokens=max(1, min(NEW_TOKENS, eager.max_seq_len - len(prompt))))
    return Case(prompt, (*said.prompt, *said.tokens)[: eager.max_seq_len], about)


def _compare_writing(
    subject: Subject,
    verdict: Verdict,
    trail: Trail,
    session: Any,
    eager: Any,
    cases: Sequence[Case],
    *,
    one_token: bool,
    together: int | None = None,
) -> None:
    """Logits, tokens and cache of a program that writes."""
    trained = subject.request.trained
    expected: list[Tensor] = []

    def logits() -> Check:
        expected.extend(_teacher(eager, case) for case in cases)
        found = [_teacher(session, case) for case in cases]
        return _judged_logits(subject, torch.cat(expected), torch.cat(found))

    _attempt(verdict, trail, "logits", logits)
    if subject.task == "feature-extraction":
        verdict.leave("tokens", "a model without an output layer says nothing")
    else:
        _attempt(verdict, trail, "tokens", functools.partial(_tokens, subject, session, eager, cases))
    if not getattr(session, "cached", True):
        verdict.leave("cache_state", "the program keeps no cache: it reads the whole sequence in every call")
    else:
        _attempt(
            verdict,
            trail,
            "cache_state",
            functools.partial(_cache_state, subject, session, eager, cases, one_token=one_token, together=together),
        )
        if eager.max_seq_len > FED:
            _attempt(verdict, trail, "max length", functools.partial(_full, subject, session, eager, cases, together))
    if subject.account is not None and subject.config.reduces and expected:
        _quality(subject, verdict, trail, cases, session, trained=trained)


def _attempt(verdict: Verdict, trail: Trail, name: str, check: Callable[[], Check | str]) -> None:
    """Make a check; what the program refuses fails it, and a reason instead of a check is why there is none."""
    trail.begin(name)
    try:
        made = check()
    except SessionError as error:
        verdict.add(name, Check(status="fail", message=placeless(str(error))))
        return
    if isinstance(made, str):
        verdict.leave(name, made)
    else:
        verdict.add(name, made)


def _teacher(session: Any, case: Case) -> Tensor:
    """The logits that predict what follows a prompt: [n, vocabulary]."""
    case.begin(session)
    fed = torch.tensor([case.tokens])
    found: Tensor = session.forward(fed, 0)
    return found[len(case.prompt) - 1 : -1].clone() if len(case.tokens) > len(case.prompt) else found.clone()


def _judged_logits(subject: Subject, expected: Tensor, found: Tensor, *, trained: bool | None = None) -> Check:
    if expected.shape != found.shape:
        return Check(status="fail", message=f"logits are {tuple(found.shape)}, and eager PyTorch's {tuple(expected.shape)}")
    if not float(expected.abs().max()) >= SMALLEST_MAGNITUDE:
        return Check(status="inconclusive", message=f"proves nothing: the largest logit is {float(expected.abs().max()):.1e}")
    comparison = compare_logits(expected, found)
    trained = subject.request.trained if trained is None else trained
    if not subject.quantized:
        return judge_logits(comparison, tolerance(subject.config), trained=trained)
    check = judge_quality(comparison, float("nan"), judged=trained)
    message = f"quantized, top-1 {comparison.top1:.4f} {'(at least 0.9)' if trained else '(not judged on random weights)'}, "
    message += (
        f"relative logit error {comparison.relative_error:.2e} (below {QUANTIZED.relative}) against {subject.config.dtype}"
    )
    good = check.status == "pass" and comparison.relative_error < (QUANTIZED.relative or 0)
    return Check(status="pass" if good else "fail", message=message, metrics=comparison.metrics())


def _tokens(subject: Subject, session: Any, eager: Any, cases: Sequence[Case]) -> Check:
    eos = eos_ids(subject.model)
    comparisons = []
    for case in cases:
        room = max(1, min(NEW_TOKENS, eager.max_seq_len - len(case.prompt)))
        said = []
        for each in (eager, session):
            case.begin(each)
            said.append(generate(each, case.prompt, max_new_tokens=room, eos_ids=eos))
        tie = 2 * MAX_ABS_ERROR if subject.limits.exact else 0.1
        comparisons.append(compare_tokens(said[0], said[1], tie=tie))
    check = judge_tokens(comparisons, against="eager PyTorch")
    if subject.quantized and check.status == "fail":
        alike = f"{check.metrics['equal']} of {len(cases)} prompts answered with eager PyTorch's tokens"
        return Check(status="pass", message=f"{alike}; told, not judged: it is quantized", metrics=check.metrics)
    return check


def _cache_state(
    subject: Subject, session: Any, eager: Any, cases: Sequence[Case], *, one_token: bool, together: int | None
) -> Check:
    short = [Capped(each, min(FED, eager.max_seq_len)) for each in (session, eager)]
    program, eager_short = short
    sequences = [case.tokens for case in cases]
    first, second = cases[longest(sequences)], cases[another(sequences)]
    whole = torch.tensor([fill(sequences, program.max_seq_len, _filler(sequences, together))])
    other = torch.tensor([second.tokens[: program.max_seq_len]])

    def known(case: Case, tokens: Tensor) -> Known:
        case.begin(eager_short)
        return Known(tokens, eager_short.forward(tokens, 0).clone(), case.begin, _runs(tokens[0].tolist(), together))

    window = smallest_window(subject.config) or _window(subject.model)
    return check_cache_state(
        program, known(first, whole), known(second, other), window=window, tolerance=subject.limits, one_token=one_token
    )


def _filler(sequences: Sequence[Sequence[int]], together: int | None) -> list[int]:
    """What goes on after the longest sequence: nothing that stands for an image or sound; empty takes the other sequences."""
    return [] if together is None else [token for token in sequences[longest(sequences)] if token != together]


def _runs(tokens: Sequence[int], together: int | None) -> list[range]:
    """Where tokens that one call has to bring together lie."""
    ends = list(itertools.accumulate(len(list(run)) for _, run in itertools.groupby(tokens)))
    return [range(begin, end) for begin, end in itertools.pairwise([0, *ends]) if tokens[begin] == together]


def _full(subject: Subject, session: Any, eager: Any, cases: Sequence[Case], together: int | None) -> Check | str:
    """A longer cache, filled to its end."""
    length = eager.max_seq_len
    if length > FILLED:
        return f"the cache has {length} positions, and {FILLED} are filled at most"
    sequences = [case.tokens for case in cases]
    tokens = torch.tensor([fill(sequences, length, _filler(sequences, together))])
    rows = []
    for each in (eager, session):
        cases[longest(sequences)].begin(each)
        rows.append(each.forward(tokens, 0)[-FED:].clone())
    return _judged_logits(subject, rows[0], rows[1])


def _window(model: Any) -> int | None:
    from transformers import DynamicCache

    windows = [
        layer.sliding_window for layer in DynamicCache(config=model.config).layers if getattr(layer, "is_sliding", False)
    ]
    return min(windows, default=None)


class Capped:
    """The first positions of a session."""

    def __init__(self, session: Any, max_seq_len: int) -> None:
        self.session = session
        self.max_seq_len = max_seq_len

    def reset(self) -> None:
        self.session.reset()

    def condition(self, inputs: Mapping[str, Tensor]) -> None:
        self.session.condition(inputs)

    def forward(self, tokens: Tensor, position: int) -> Tensor:
        if position + tokens.shape[1] > self.max_seq_len:
            raise SessionError(f"{position + tokens.shape[1]} positions are needed, and {self.max_seq_len} are looked at.")
        found: Tensor = self.session.forward(tokens, position)
        return found


def _quality(subject: Subject, verdict: Verdict, trail: Trail, cases: Sequence[Case], session: Any, *, trained: bool) -> None:
    """What rounding costs against fp32: judged on what the weights know."""
    trail.begin("quality")
    fp32 = rounded_model(subject.checkpoint, ExportConfig(), task=subject.task)
    eager = _eager(subject, fp32, session.max_seq_len, ExportConfig())
    expected = torch.cat([_teacher(eager, case) for case in cases])
    found = torch.cat([_teacher(session, case) for case in cases])
    comparison = compare_logits(expected, found)
    judged = trained and all(case.learned for case in cases) and not subject.config.forgets
    good = judge_quality(comparison, 1.0, judged=judged)
    limit = "at least 0.9" if judged else "told, not judged"
    message = f"against fp32: top-1 {comparison.top1:.4f} ({limit}), SQNR {comparison.sqnr_db:.1f} dB"
    verdict.add("quality", Check(status=good.status, message=message, metrics=comparison.metrics()))


def _eager(subject: Subject, model: Any, length: int, config: ExportConfig) -> Any:
    if subject.layout.kind == "encoder-decoder":
        return eager_seq2seq(model, length, config)
    if subject.layout.kind == "multimodal":
        return EagerMultimodalSession(model, length, config)
    return eager_session(model, length, config)


def _seq2seq(subject: Subject, verdict: Verdict, trail: Trail) -> None:
    layout, model = subject.layout, subject.model
    if subject.account is not None:
        session: Any = ExecuTorchSeq2Seq(subject.path, expected=subject.account.file, **subject.options)
    else:
        encoder, decoder = layout.methods["encoder"], layout.methods["text_decoder"]
        source = encoder.inputs[0]
        axis = -1 if TOKENS in encoder.roles or len(source.sizes) == 2 else 2
        told = {
            "get_max_seq_len": _positions(subject, verdict),
            "get_max_source_len": source.sizes[axis],
            "get_decoder_prompt_ids": decoder_prompt(model),
            "get_decoder_start_token_id": decoder_prompt(model)[0],
            "enable_dynamic_source": source.dynamic,
            "enable_dynamic_shape": decoder.input(TOKENS).dynamic,
            "get_dtype": decoder.outputs[0].dtype,
            "get_vocab_size": model.config.vocab_size,
        }
        if TOKENS not in encoder.roles:
            told["get_sampling_rate"] = 16_000
        session = foreign_seq2seq(layout, told)(subject.path, **subject.options)
    if session.listens:
        sources = [_sound(subject, session, name) for name in ("rising chirp", "high tone")]
    else:
        whole = not bool(session.constant("enable_dynamic_source")) and subject.account is None
        sources = [_ids(model, session.max_source_len, step, whole=whole) for step in (7, 11)]
    eager = eager_seq2seq(model, session.max_seq_len, subject.config)
    prompt = tuple(decoder_prompt(model))
    if len(session.prompt) == 1:
        prompt = prompt[:1] if subject.account is None and len(prompt) > session.max_seq_len // 2 else prompt
    cases = _learned(subject, session) or [_said(eager, prompt, source) for source in sources]
    one_token = not bool(session.constant("enable_dynamic_shape"))
    _compare_writing(subject, verdict, trail, session, eager, cases, one_token=one_token)


def _learned(subject: Subject, session: Any) -> list[Case]:
    """The sources of texts that a twin was trained on, and what it writes about them."""
    from conformance.tasks.text2text_generation import text_source

    reference = subject.checkpoint / "reference.json"
    if session.listens or not reference.is_file():
        return []
    samples = json.loads(reference.read_text(encoding="utf-8"))["samples"]
    if not session.constant("enable_dynamic_source") and subject.account is None:
        return []  # padding is masked, or it changes what is written
    return [
        Case(tuple(each["tokens"][: each["prompt_length"]]), tuple(each["tokens"]), text_source(each["source"]), learned=True)
        for each in samples
        if len(each["source"]) <= session.max_source_len and len(each["tokens"]) <= session.max_seq_len
    ]


def _ids(model: Any, most: int, step: int, *, whole: bool = False) -> dict[str, Tensor]:
    """A text of ids that do not repeat soon; ``whole`` makes it as long as may be."""
    count = most if whole else min(NEW_TOKENS, most)
    ids = torch.tensor([[(step * index + 1) % model.config.get_text_config().vocab_size for index in range(count)]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _sound(subject: Subject, session: Any, name: str) -> dict[str, Tensor]:
    """A reference sound as the checkpoint's feature extractor makes it, cut to what the program takes."""
    from transformers import AutoFeatureExtractor

    from zoo.twins import sounds
    from zoo.twins.speech import features

    extractor = AutoFeatureExtractor.from_pretrained(subject.checkpoint, trust_remote_code=False, local_files_only=True)
    made = features(extractor, sounds.draw(name))
    if session.constant("enable_dynamic_source", False):
        most = int(session.constant("get_max_source_len"))
        made = {key: value[:, :most].contiguous() for key, value in made.items()}
    return made


def _multimodal(subject: Subject, verdict: Verdict, trail: Trail) -> None:
    from transformers import AutoTokenizer

    from zoo.placeholders import IMAGE, placeholder
    from zoo.twins import images, sounds
    from zoo.twins.media import load_processor, placeholder_id, prepare
    from zoo.twins.multimodal import question

    layout, model = subject.layout, subject.model
    looks = "vision_encoder" in layout.methods
    encoder = layout.methods["vision_encoder" if looks else "audio_encoder"]
    name = "image" if looks else "audio"
    kind = MultimodalSession
    if subject.account is None:
        told = {
            "get_max_seq_len": _positions(subject, verdict),
            f"get_{name}_token_id": placeholder_id(model.config),
            f"get_{name}_seq_len": encoder.outputs[0].sizes[-2],
            "enable_dynamic_shape": layout.methods["text_decoder"].inputs[0].dynamic,
            "get_dtype": encoder.inputs[0].dtype,
            "get_vocab_size": model.config.get_text_config().vocab_size,
        }
        kind = telling(MultimodalSession, told)
    session = kind(subject.path, expected=subject.account.file if subject.account else None, **subject.options)
    eager = EagerMultimodalSession(model, session.max_seq_len, subject.config)
    known = placeholder(model.config.model_type)
    processor = load_processor(subject.checkpoint)
    coder = AutoTokenizer.from_pretrained(subject.checkpoint, trust_remote_code=False, local_files_only=True)
    cases = []
    for thing in ("red circle", "blue square") if known.marker == IMAGE else ("high tone", "falling chirp"):
        item = images.draw(thing, encoder.inputs[0].sizes[-2]) if looks else sounds.draw(thing)
        inputs = prepare(processor, item)
        text = known.expand(f"{known.marker} What is this?", session.condition(inputs))
        prompt = coder(question(coder, text) if coder.chat_template else text)["input_ids"]
        cases.append(_said(eager, tuple(prompt), inputs))
    _compare_writing(subject, verdict, trail, session, eager, cases, one_token=False, together=placeholder_id(model.config))


def _text(subject: Subject, verdict: Verdict, trail: Trail) -> None:
    """A program that reads a whole text: of a decoder without a cache, or of an encoder."""
    if subject.task == "text-generation" or (subject.task == "feature-extraction" and _is_decoder(subject.model)):
        _decoder(subject, verdict, trail)
        return
    method = subject.layout.methods["forward"]
    told = {
        "get_max_seq_len": method.inputs[0].sizes[1],
        "enable_dynamic_shape": method.inputs[0].dynamic,
        "get_vocab_size": subject.model.config.get_text_config().vocab_size,
    }
    length = int(told["get_max_seq_len"])
    whole = not method.inputs[0].dynamic and len(method.inputs) == 1
    inputs = [_ids(subject.model, length, step, whole=whole) for step in (7, 11)]
    _one_pass(subject, verdict, trail, told, inputs)
    if len(method.inputs) == 1:
        verdict.leave("padding", "the program takes no attention_mask")


def _is_decoder(model: Any) -> bool:
    from exporters.wrappers import reads_both_ways

    return not reads_both_ways(model)


def _image(subject: Subject, verdict: Verdict, trail: Trail) -> None:
    sizes = subject.layout.methods["forward"].input(PIXELS).sizes
    noise = torch.Generator().manual_seed(0)
    inputs = [{"pixel_values": torch.randn(*sizes, generator=noise)} for _ in range(2)]
    _one_pass(subject, verdict, trail, {}, inputs)


def _hearing(subject: Subject, verdict: Verdict, trail: Trail) -> None:
    info = subject.layout.methods["forward"].input(SOUND)
    told = {"get_sampling_rate": 16_000, "get_min_source_len": 1, "get_max_source_len": info.sizes[1]}
    told["enable_dynamic_source"] = info.dynamic
    session = telling(ForeignInference, told)(subject.path, **subject.options)
    inputs = [_sound(subject, session, name) for name in ("rising chirp", "high tone")]
    _one_pass(subject, verdict, trail, told, inputs)


def _one_pass(
    subject: Subject, verdict: Verdict, trail: Trail, told: Mapping[str, Any], inputs: Sequence[Mapping[str, Tensor]]
) -> None:
    kind: Any = ExecuTorchInference if subject.account is not None else telling(ForeignInference, told)
    expected_file = subject.account.file if subject.account is not None else None

    def logits() -> Check:
        eager = baseline_inference(subject.checkpoint, subject.config, task=subject.task)
        session = kind(subject.path, expected=expected_file, **subject.options)
        expected, found = [], []
        for each in inputs:
            wanted, given = eager.infer(each), session.infer(each).clone()
            # The order of a detector's queries means nothing.
            found.append(align(wanted, given) if subject.task == "object-detection" else given)
            expected.append(wanted)
        if expected[0].shape == expected[1].shape and float((expected[0] - expected[1]).abs().max()) == 0:
            return Check(status="inconclusive", message="proves nothing: eager PyTorch's answer does not depend on its input")
        # Best answers mean nothing where the inputs are noise.
        return _judged_logits(subject, torch.cat(expected), torch.cat(found), trained=False)

    _attempt(verdict, trail, "logits", logits)
    verdict.leave("cache_state", "a model of one pass keeps none")


COMPARISONS: Mapping[str, Callable[[Subject, Verdict, Trail], None]] = {
    "decoder": _decoder,
    "encoder-decoder": _seq2seq,
    "multimodal": _multimodal,
    "text": _text,
    "image": _image,
    "sound": _hearing,
}
"""By ``Layout.kind``."""

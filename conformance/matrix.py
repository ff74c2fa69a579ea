"""Which configurations a model is run under: tiers, and why a configuration does not apply to an architecture."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from conformance.pairwise import ROWS, SHARES, SPELLING
from exporters.config import QLINEAR, ExportConfig
from exporters.errors import ExportError
from zoo.errors import unknown
from zoo.model import TRAITS, Model

TIERS: Mapping[str, str] = MappingProxyType(
    {
        "smoke": "one configuration a model",
        "core": "the matrix's columns",
        "default": "the matrix's columns, and a model's share of an array that covers every pair of options",
        "nightly": "every option with every model it applies to",
    }
)
"""The tiers; each holds the ones before it."""
DECODER, ENCODER, VISION = "CausalLMExportableModule", "MaskedLMExportableModule", "VisionEncoderExportableModule"
SEQ2SEQ, CTC = "Seq2SeqLMExportableModule", "CTCExportableModule"
MULTIMODAL = "MultiModalTextToTextExportableModule"
DETECTOR = "ObjectDetectionExportableModule"
SMOKE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    dict.fromkeys((DECODER, ENCODER, VISION, DETECTOR, SEQ2SEQ, CTC, MULTIMODAL), ("xnnpack-fp32",))
)
CORE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        DECODER: ("portable-fp32", "xnnpack-fp32", "xnnpack-fp32-sdpa-kv", "xnnpack-fp32-sdpa-kv-8da4w-emb8w"),
        ENCODER: ("portable-fp32", "xnnpack-fp32", "xnnpack-fp16", "xnnpack-fp32-8da4w-emb8w"),
        VISION: ("portable-fp32", "xnnpack-fp32", "xnnpack-fp16", "xnnpack-fp32-8da8w"),
        MULTIMODAL: (
            "portable-fp32",
            "xnnpack-fp32",
            "xnnpack-fp32-sdpa-kv",
            "xnnpack-fp32-sdpa-kv-8da4w-emb8w-enc8da8w",
        ),
        SEQ2SEQ: ("portable-fp32", "xnnpack-fp32", "xnnpack-fp32-kv", "xnnpack-fp32-8da4w-emb8w-enc8da4w"),
        CTC: ("portable-fp32", "xnnpack-fp32", "xnnpack-fp16", "xnnpack-fp32-8da4w"),
        DETECTOR: ("portable-fp32", "xnnpack-fp32", "xnnpack-fp16", "xnnpack-fp32-8da8w"),
    }
)
"""By wrapper the configurations that every model is run under in ``default``, in the order of the matrix's columns."""
_IMAGES = (
    "xnnpack-bf16",
    "xnnpack-fp32-8da4w",
    "portable-fp16",
    "xnnpack-fp32-8w",
    "xnnpack-fp32-8da4w-pc",
    "portable-bf16",
    "xnnpack-fp32-4w",
    "portable-fp32-8w",
    "xnnpack-fp32-8da4w-g64",
    "xnnpack-fp16-8da8w",
    "xnnpack-fp32-8da4w+8da8w-g128",
)
POOL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        DECODER: ROWS,
        ENCODER: (
            "xnnpack-fp32-static",
            "xnnpack-bf16-emb4w",
            "xnnpack-fp16-8da4w-g64-emb8w",
            "portable-fp32-8w-emb4w-static",
            "xnnpack-fp32-8da8w",
            "portable-fp16-shared",
            "xnnpack-fp32-4w-emb8w",
            "xnnpack-fp32-8da4w-pc-static",
            "xnnpack-fp32-8da4w+8da8w-g128-emb4w",
            "portable-bf16-static",
            "xnnpack-fp32-8w",
        ),
        MULTIMODAL: (
            "xnnpack-fp16-sdpa-kv-enc8da8w",
            "xnnpack-fp32-kv8-8w-emb4w-enc4w",
            "xnnpack-fp32-static",
            "portable-bf16-kv",
            "xnnpack-fp32-sdpa-kv8-8da8w-enc8da4w",
            "portable-fp32-8w-emb8w-enc8w",
            "xnnpack-fp16-kv-8da4w-g64",
            "xnnpack-fp32-sdpa-enc8w",
            "xnnpack-bf16-emb8w",
            "portable-fp16-static",
            "xnnpack-fp32-8da4w-pc-enc8da4w-pc",
        ),
        SEQ2SEQ: (
            "xnnpack-fp16-sdpa-kv",
            "xnnpack-fp32-kv8-enc8da8w",
            "xnnpack-fp32-8w-emb4w-enc8w-encemb8w",
            "xnnpack-bf16-kv-static",
            "xnnpack-fp32-sdpa-8da4w+8da8w-g128-enc8da4w-pc",
            "portable-fp32-8w-emb8w-enc8w-static",
            "xnnpack-fp16-kv-8da4w-g64-emb8w-enc8da4w-g64",
            "xnnpack-fp32-sdpa-kv-static",
            "portable-fp16-kv8-shared",
            "xnnpack-fp32-4w-enc4w-encemb4w",
            "portable-bf16-sdpa-kv8",
            "xnnpack-fp32-kv-8da8w-static",
        ),
        CTC: SPELLING,
        VISION: _IMAGES,
        DETECTOR: _IMAGES,
    }
)
"""By wrapper the configurations of which a model takes a share in ``default``."""
NIGHTLY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        DECODER: (
            "xnnpack-fp16-kv-8da4w-g64-emb4w",
            "xnnpack-bf16-kv8-emb8w",
            "xnnpack-fp32-sdpa-kv-sink4w28",
            "xnnpack-fp32-sdpa-kv8-sink4w28",
            "xnnpack-fp32-sdpa-kv-lg16.0",
            "xnnpack-fp32-sdpa-kv-pt2e",
            "xnnpack-fp32-sdpa-kv-pt2eqc4-emb8w",
            "xnnpack-fp32-kv8-lg16.0",
            "xnnpack-fp32-kv-8w-emb4w",
            "xnnpack-fp32-4w-static",
            "xnnpack-fp32-kv-8da8w",
            "xnnpack-fp32-kv8-8da4w+8da8w-g128",
            "xnnpack-fp32-8da4w-g128",
            "xnnpack-fp32-sdpa-8da4w-pc",
            "portable-fp16-sdpa-kv",
            "portable-bf16-shared",
            "portable-fp32-8w-emb8w-static",
        ),
        ENCODER: (*POOL[ENCODER], "xnnpack-fp32-pt2e", "xnnpack-fp32-pt2eqc4"),
        VISION: (*POOL[VISION], "xnnpack-fp32-pt2e", "xnnpack-fp32-pt2eqc4"),
        MULTIMODAL: POOL[MULTIMODAL],
        SEQ2SEQ: POOL[SEQ2SEQ],
        CTC: POOL[CTC],
        DETECTOR: POOL[DETECTOR],
    }
)
"""By wrapper what ``nightly`` runs beyond ``default`` for every model."""


SHARE = 3
"""Configurations of ``POOL`` that a model takes."""


@dataclass(frozen=True)
class Rule:
    """Why a kind of configuration does not apply to a kind of architecture."""

    trait: str
    """A key of ``zoo.model.TRAITS``."""
    applies: Callable[[ExportConfig], bool]
    """Whether the rule is about a configuration."""
    reason: str
    """What follows from the trait."""


def _needs_multiples_of(config: ExportConfig) -> int:
    """What the input features of every linear layer must be multiples of; 1 where a layer may have any."""
    grouped = config.qlinear is not None and QLINEAR[config.qlinear].fallback is None and config.group_size
    return grouped or 1


def _first_layer_is_local(config: ExportConfig) -> bool:
    return config.local_windows is not None and config.local_windows[0] > 0


RULES: tuple[Rule, ...] = (
    Rule("own_attention", lambda config: config.use_custom_sdpa, "custom SDPA cannot take its place"),
    Rule("soft_capping", lambda config: config.use_custom_sdpa, "llama::custom_sdpa would drop the cap"),
    Rule(
        "no_attention",
        lambda config: config.use_custom_sdpa or config.use_custom_kv_cache,
        "there is no SDPA and no KV cache to replace",
    ),
    Rule("recurrent", lambda config: config.dynamic_shapes, "it takes one token a call (-static)"),
    Rule("all_sliding", lambda config: config.use_attention_sink is not None, "no layer is left for an attention sink"),
    Rule("own_attention", lambda config: config.local_global_attention is not None, "its layers cannot be given windows"),
    Rule("all_sliding", lambda config: config.local_global_attention is not None, "there is none to give a window to"),
    Rule("some_sliding", lambda config: config.local_global_attention is not None, "its windows are its own"),
    Rule("some_attend", _first_layer_is_local, "its first layer has nothing to give a window to"),
    Rule("looks_ahead", lambda config: not config.dynamic_shapes, "they have to be fed in one call"),
    Rule("position_bias", lambda config: config.use_custom_sdpa, "llama::custom_sdpa would drop it"),
    Rule("listens", lambda config: config.qembedding_encoder is not None, "there is no embedding of tokens in it"),
    Rule("widths_of_32", lambda config: _needs_multiples_of(config) > 32, "groups of more than 32 do not divide them"),
    Rule("widths_of_16", lambda config: _needs_multiples_of(config) > 16, "groups of more than 16 do not divide them"),
    Rule("untied", lambda config: config.use_shared_embedding, "there is nothing to share"),
)
"""The rules; a test holds each of them against what the exporter says of every model."""


@dataclass(frozen=True)
class Cell:
    """A model under a configuration: the unit that is run, cached, recorded and reported."""

    model: Model
    configuration: str

    @property
    def name(self) -> str:
        """``model@configuration``."""
        return f"{self.model.name}@{self.configuration}"

    @property
    def inapplicable(self) -> str | None:
        """Why the configuration means nothing for the model; ``None`` if it does mean something."""
        config = ExportConfig.from_id(self.configuration)
        for rule in RULES:
            if rule.trait in self.model.traits and rule.applies(config):
                return f"{TRAITS[rule.trait]}: {rule.reason}"
        return None


def check_tier(tier: str) -> None:
    """Refuse what is no tier.

    Raises:
        ZooError: there is no such tier.
    """
    if tier not in TIERS:
        raise unknown("tier", tier, TIERS)


@functools.cache
def configurations(model: Model, tier: str = "nightly") -> tuple[str, ...]:
    """The configuration ids that ``model`` is run under in a tier.

    Raises:
        ZooError: there is no such tier.
    """
    check_tier(tier)
    wrapper = model.wrapper
    chosen = [*SMOKE[wrapper]] if tier == "smoke" else [*CORE[wrapper]]
    if tier in ("default", "nightly"):
        chosen += _share(model)
    if tier == "nightly":
        chosen += NIGHTLY[wrapper]
        chosen += _completion(model, chosen)
    if "recurrent" in model.traits:
        # What does not apply stays in the matrix as such; beside it stands the form that does.
        chosen += [one_token(each) for each in chosen]
    return tuple(dict.fromkeys(chosen))


def _completion(model: Model, chosen: Sequence[str]) -> list[str]:
    """Rows of the pairwise array that bring the options to a model which what is ``chosen`` does not: where custom SDPA or a KV
    cache does not apply to it, what is combined with them does not either."""
    recurrent = "recurrent" in model.traits

    def options(ids: Sequence[str]) -> set[tuple[str, str]]:
        forms = [one_token(name) if recurrent else name for name in ids]
        return {value for name in forms if Cell(model, name).inapplicable is None for value in parts(name).items()}

    added: list[str] = []
    pool = POOL[model.wrapper]
    missing = options(pool) - options(chosen)
    for row in pool:
        if options([row]) & missing:
            added.append(row)
            missing -= options([row])
    return added


def one_token(configuration: str) -> str:
    """The configuration with a static sequence length of one token."""
    return replace(ExportConfig.from_id(configuration), dynamic_shapes=False).id


def _share(model: Model) -> Sequence[str]:
    """The model's share of ``POOL``: the one it was given, or one picked by its name."""
    if model.name in SHARES:
        return SHARES[model.name]
    start = int(hashlib.sha256(model.name.encode()).hexdigest(), 16)
    pool = POOL[model.wrapper]
    return tuple(pool[(start + step) % len(pool)] for step in range(SHARE))


def reduces(configuration: str) -> bool:
    """Whether a configuration computes something else than the checkpoint in fp32 does."""
    return ExportConfig.from_id(configuration).reduces


def cells(models: tuple[Model, ...], ids: tuple[str, ...] = (), *, tier: str = "default") -> tuple[Cell, ...]:
    """The cells of models in a tier; or those of the given configurations, of whatever tier.

    Raises:
        ZooError: an id is in no tier of any of these models, or there is no such tier.
        ExportError: an id is none.
    """
    known = {configuration for model in models for configuration in configurations(model)}
    for configuration in ids:
        if configuration not in known:
            ExportConfig.from_id(configuration)
            raise unknown("configuration", configuration, known, hint="'zoo matrix' shows them.")
    return tuple(
        Cell(model, configuration)
        for model in models
        for configuration in configurations(model, "nightly" if ids else tier)
        if not ids or configuration in ids
    )


OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "recipe": ("xnnpack", "portable"),
        "dtype": ("fp32", "fp16", "bf16"),
        "attention": ("", "sdpa", "kv", "sdpa-kv"),
        "cache": ("", "kv8"),
        "sink": ("", "sink4w28"),
        "linear": ("", "8da4w", "8da4w-g64", "8da4w-pc", "8da8w", "8w", "4w", "8da4w+8da8w-g128"),
        "embedding": ("", "emb8w", "emb4w"),
        "shared": ("", "shared"),
        "shape": ("", "static"),
    }
)
"""The options that the tiers combine, as parts of an id; an empty part leaves the option out."""


def compose(parts: Mapping[str, str]) -> str | None:
    """The id of one part of each of ``OPTIONS``; ``None`` if the exporter refuses the combination."""
    if parts["cache"] and "kv" not in parts["attention"]:
        return None
    try:
        return ExportConfig.from_id(_join(parts)).id
    except ExportError:
        return None


def _join(parts: Mapping[str, str]) -> str:
    attention = parts["attention"].replace("kv", parts["cache"]) if parts["cache"] else parts["attention"]
    rest = (parts[name] for name in ("sink", "linear", "embedding", "shared", "shape"))
    return "-".join(part for part in (parts["recipe"], parts["dtype"], attention, *rest) if part)


def parts(configuration: str) -> dict[str, str]:
    """The parts of an id by option: the inverse of ``compose``. Group sizes that ``OPTIONS`` does not combine are the scheme's
    default."""
    config = ExportConfig.from_id(configuration)
    plain = replace(
        config, recipe="xnnpack" if config.qlinear else config.recipe, dtype="fp32", use_custom_sdpa=False,
        use_custom_kv_cache=False, quantize_kv_cache=False, use_attention_sink=None, local_global_attention=None,
        pt2e_quantize=None,
        qembedding=None, qembedding_group_size=None, qlinear_encoder=None, qlinear_encoder_group_size=None,
        qembedding_encoder=None, qembedding_encoder_group_size=None, use_shared_embedding=False, dynamic_shapes=True,
    )  # fmt: skip
    linear = plain.id.split("-", 2)[2] if config.qlinear else ""
    return {
        "recipe": config.recipe,
        "dtype": config.dtype,
        "attention": "-".join(
            name for name, on in (("sdpa", config.use_custom_sdpa), ("kv", config.use_custom_kv_cache)) if on
        ),
        "cache": "kv8" if config.quantize_kv_cache else "",
        "sink": f"sink{config.use_attention_sink.replace(',', 'w')}" if config.use_attention_sink else "",
        "linear": linear,
        "embedding": f"emb{config.qembedding}" if config.qembedding else "",
        "shared": "shared" if config.use_shared_embedding else "",
        "shape": "" if config.dynamic_shapes else "static",
    }


Pair = tuple[tuple[str, str], tuple[str, str]]


def pairs(configuration: str) -> set[Pair]:
    """The pairs of option values that a configuration holds."""
    found = sorted(parts(configuration).items())
    return {(first, second) for index, first in enumerate(found) for second in found[index + 1 :]}


def refused() -> list[tuple[str, str]]:
    """What the exporter refuses: an option, or a pair of them, each with its reason. Pairs that say the same are named once."""
    found: dict[str, list[str]] = {}
    possible = possible_pairs()
    names = sorted(OPTIONS)
    plain = {name: values[0] for name, values in OPTIONS.items()}
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            for values in itertools.product(OPTIONS[first], OPTIONS[second]):
                if ((first, values[0]), (second, values[1])) in possible or "" in values:
                    continue
                reason = _reason({**plain, first: values[0], second: values[1]})
                found.setdefault(reason, []).append(f"{values[0]} with {values[1]}")
    return [(", ".join(options), reason) for reason, options in found.items()]


def _reason(parts: Mapping[str, str]) -> str:
    try:
        ExportConfig.from_id(_join(parts))
    except ExportError as error:
        return str(error)
    return f"{parts['cache']} is a KV cache, and without kv there is none to store."


def possible_pairs() -> set[Pair]:
    """Every pair of option values that some configuration of ``OPTIONS`` holds, and the exporter does not refuse."""
    found: set[Pair] = set()
    for values in itertools.product(*OPTIONS.values()):
        configuration = compose(dict(zip(OPTIONS, values, strict=True)))
        if configuration is not None:
            found |= pairs(configuration)
    return found

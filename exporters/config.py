"""``ExportConfig``: what is asked of an export, validated, and the grammar of configuration ids.

An id reads ``recipe-dtype[-sdpa][-kv[8]][-sinkSwW|-lgW.W...][-qlinear[-gN|-pc]|-pt2e[qc4]][-embQ[gN]][-encQ[-gN|-pc]]
[-encembQ[gN]][-shared][-static]``, for example ``xnnpack-fp32-sdpa-kv-8da4w-emb8w``:

============= ==========================================================================================================
``sdpa``       attention is the custom operator ``llama::custom_sdpa``
``kv``         the KV cache is updated by ``llama::update_cache``, as a ring in sliding-window layers
``kv8``        the same, with keys and values stored in 8 bits, scaled for each token and head
``sink4w28``   full-attention layers keep the first 4 positions and the last 28 only (attention sink)
``lg16.0``     every other layer attends to the last 16 positions only, from the first on (local and global attention)
``8da4w``      linear layers have 4-bit weights and 8-bit dynamic activations; ``8da8w``: 8-bit weights
``8w``, ``4w`` linear layers have 8- or 4-bit weights and float activations
``8da4w+8da8w`` ``8da4w``, and ``8da8w`` in the layers that the group size does not divide
``pt2e``       as ``8da8w``, of the exported program instead of the model; ``pt2eqc4``: 4-bit weights
``gN``, ``pc`` N weights share a scale, or a whole output channel does, where that is not the scheme's default
``emb8w``      the embedding has 8-bit weights, one scale a row; ``emb4w``: 4-bit weights in groups of 32
``enc8da8w``   linear layers of the encoder, where there is one beside a decoder, are quantized; without it they are not
``encemb8w``   the same of the encoder's embedding
``shared``     an embedding tied to the output layer is stored once
``static``     a decoder takes one token a call, an encoder texts padded to the longest, instead of any length
============= ==========================================================================================================

``max_seq_len``, ``max_prefill_len``, ``max_source_len``, ``image_size``, ``allow_skipped_layers`` and ``metadata`` belong to
the model at hand and are not part of the id.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from exporters.errors import ExportError, unknown_option

PER_CHANNEL = 0
"""The group size that stands for one scale an output channel, or a row of an embedding."""
RECIPES = ("portable", "xnnpack")
DTYPES = ("fp32", "fp16", "bf16")


@dataclass(frozen=True)
class Scheme:
    """How a kind of layer is quantized."""

    weight_bits: int
    dynamic_activations: bool
    """Whether activations are quantized to 8 bits for each token while running."""
    group_size: int
    """The default: input features that share a scale, or ``PER_CHANNEL``."""
    group_sizes: Mapping[str, tuple[int, ...]]
    """Recipe: the group sizes it has kernels for. ``GROUPED`` stands for every multiple of 32."""
    dtypes: tuple[str, ...] = DTYPES
    """The types of activations that the kernels take."""
    fallback: str | None = None
    """The scheme of layers that the group size does not divide."""


GROUPED = -1
QLINEAR: Mapping[str, Scheme] = MappingProxyType(
    {
        # executorch 1.4.1. XNNPACK has no bfloat16, and with float activations fp32 only ("xnn_status_invalid_parameter" for
        # fp16 when the method is loaded); dynamic activations with 4-bit weights in blocks of a multiple of 32 (qb4w) or per
        # channel (qc4w), with 8-bit weights per channel (qc8w); float activations with 8- and 4-bit weights per channel. The
        # quantized kernels have a float linear layer with 8-bit weights, per channel or grouped, and none with 4-bit weights.
        "8da4w": Scheme(4, True, 32, {"xnnpack": (GROUPED, PER_CHANNEL)}, ("fp32", "fp16")),
        "8da8w": Scheme(8, True, PER_CHANNEL, {"xnnpack": (PER_CHANNEL,)}, ("fp32", "fp16")),
        "8da4w,8da8w": Scheme(4, True, 32, {"xnnpack": (GROUPED,)}, ("fp32", "fp16"), fallback="8da8w"),
        "8w": Scheme(8, False, PER_CHANNEL, {"xnnpack": (PER_CHANNEL,), "portable": (PER_CHANNEL,)}, ("fp32",)),
        "4w": Scheme(4, False, PER_CHANNEL, {"xnnpack": (PER_CHANNEL,)}, ("fp32",)),
    }
)
"""Quantization of linear layers, by name."""
QEMBEDDING: Mapping[str, Scheme] = MappingProxyType(
    {
        "8w": Scheme(8, False, PER_CHANNEL, dict.fromkeys(RECIPES, (GROUPED, PER_CHANNEL))),
        "4w": Scheme(4, False, 32, dict.fromkeys(RECIPES, (GROUPED, PER_CHANNEL))),
    }
)
"""Quantization of the embedding, by name."""
PT2E: Mapping[str, Scheme] = MappingProxyType(
    {
        "xnnpack_dynamic": Scheme(8, True, PER_CHANNEL, {"xnnpack": (PER_CHANNEL,)}, ("fp32",)),
        "xnnpack_dynamic_qc4": Scheme(4, True, PER_CHANNEL, {"xnnpack": (PER_CHANNEL,)}, ("fp32",)),
    }
)
"""Quantization of the linear layers of exported programs, by name."""
_PT2E_PARTS = MappingProxyType({"xnnpack_dynamic": "pt2e", "xnnpack_dynamic_qc4": "pt2eqc4"})
"""The part of an id that stands for it."""
_ID = re.compile(
    r"(?P<recipe>[a-z0-9]+)-(?P<dtype>[a-z]+[0-9]+)(?P<sdpa>-sdpa)?(?:-kv(?P<kv>8?))?"
    r"(?:-sink(?P<sink>[1-9][0-9]{0,8}w[1-9][0-9]{0,8}))?"
    r"(?:-lg(?P<local>[0-9]{1,9}(?:\.[0-9]{1,9})*))?"
    r"(?:-(?P<qlinear>[0-9]+(?:da[0-9]+)?w(?:\+[0-9]+(?:da[0-9]+)?w)?)(?:-(?P<group>g[0-9]{1,9}|pc))?)?"
    r"(?:-(?P<pt2e>pt2e(?:qc4)?))?"
    r"(?:-emb(?P<qembedding>[0-9]+w)(?P<egroup>g[0-9]{1,9}|pc)?)?"
    r"(?:-enc(?P<qlinear_encoder>[0-9]+(?:da[0-9]+)?w(?:\+[0-9]+(?:da[0-9]+)?w)?)(?:-(?P<encgroup>g[0-9]{1,9}|pc))?)?"
    r"(?:-encemb(?P<qembedding_encoder>[0-9]+w)(?P<encegroup>g[0-9]{1,9}|pc)?)?(?P<shared>-shared)?(?P<static>-static)?"
)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """One configuration of an export. Instances are valid: construction raises ``ExportError`` otherwise."""

    recipe: str = "xnnpack"
    """How exported programs are lowered: ``portable`` or ``xnnpack``."""
    dtype: str = "fp32"
    """Type of the weights and activations that are not quantized: ``fp32``, ``fp16`` or ``bf16``."""
    use_custom_sdpa: bool = False
    """Attention through ``llama::custom_sdpa``."""
    use_custom_kv_cache: bool = False
    """KV cache through ``llama::update_cache``; sliding-window layers keep a ring of their window."""
    quantize_kv_cache: bool = False
    """Keys and values stored in 8 bits."""
    use_attention_sink: str | None = None
    """``sinks,window``: full-attention layers attend to the first ``sinks`` positions and the last ``window``, and keep no
    others, whatever the sequence's length (arXiv:2309.17453, with absolute positions); ``None`` keeps all."""
    local_global_attention: str | None = None
    """Windows of the layers in turn, in tokens, such as ``16,0``: the first layer attends to the last 16 positions and keeps a
    ring of them, the second (0) to all, the third again to 16. ``None`` leaves layers as the model has them."""
    qlinear: str | None = None
    """Quantization of linear layers, a key of ``QLINEAR``; or ``None``. Of a model with an encoder and a decoder those of the
    decoder."""
    qlinear_group_size: int | None = None
    """Input features that share a scale, 0 for one scale an output channel; ``None`` takes the scheme's default."""
    qembedding: str | None = None
    """Quantization of the embedding, a key of ``QEMBEDDING``; or ``None``."""
    qembedding_group_size: int | None = None
    """Values of a row that share a scale, 0 for one scale a row; ``None`` takes the scheme's default."""
    qlinear_encoder: str | None = None
    """As ``qlinear``, of the encoder in front of a decoder: of texts, of images, of sound."""
    qlinear_encoder_group_size: int | None = None
    """As ``qlinear_group_size``, of the encoder."""
    qembedding_encoder: str | None = None
    """As ``qembedding``, of the encoder."""
    qembedding_encoder_group_size: int | None = None
    """As ``qembedding_group_size``, of the encoder."""
    pt2e_quantize: str | None = None
    """Quantization of the linear layers of the exported program, a key of ``PT2E``, instead of ``qlinear``; or ``None``."""
    use_shared_embedding: bool = False
    """Store an embedding that is tied to the output layer once."""
    allow_skipped_layers: bool = False
    """Leave linear layers that the group size does not divide unquantized, by name, instead of refusing."""
    dynamic_shapes: bool = True
    """Accept 1 to ``max_seq_len`` tokens a call; otherwise exactly one, or ``max_seq_len`` in an encoder."""
    max_seq_len: int | None = None
    """Positions of a sequence, prompt and answer together; ``None`` takes the checkpoint's context, at most 2048 (512 in an
    encoder)."""
    max_prefill_len: int | None = None
    """Tokens that a decoder takes in one call at most, which bounds the memory it plans; a longer prompt is fed in parts.
    ``None`` takes ``max_seq_len``."""
    max_source_len: int | None = None
    """What the encoder in front of a decoder, or of a model of sound, reads at most: tokens of a text; samples or frames of a
    sound, as its feature extractor makes them. ``None`` takes the checkpoint's context, at most 512 tokens or 30 seconds."""
    image_size: int | None = None
    """Height and width of images, in pixels; ``None`` takes what the checkpoint names."""

    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Constant methods to add to the program, or to put in the place of those that name its special tokens: by name a number, a
    text, or a list of them. What the model fixes (``get_vocab_size``, for one) may be said and not be changed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "metadata", _constants(self.metadata))
        for kind, value, allowed in (
            ("recipe", self.recipe, RECIPES),
            ("dtype", self.dtype, DTYPES),
            ("qlinear", self.qlinear, (None, *QLINEAR)),
            ("qembedding", self.qembedding, (None, *QEMBEDDING)),
            ("qlinear_encoder", self.qlinear_encoder, (None, *QLINEAR)),
            ("qembedding_encoder", self.qembedding_encoder, (None, *QEMBEDDING)),
            ("pt2e_quantize", self.pt2e_quantize, (None, *PT2E)),
        ):
            if value not in allowed:
                raise unknown_option(kind, value, [name for name in allowed if name])
        for each in dataclasses.fields(self):
            if each.type == "bool" and not isinstance(getattr(self, each.name), bool):
                raise ExportError(f"{each.name} is {getattr(self, each.name)!r}; allowed: true, false.")
        if self.max_seq_len is not None:
            _check_integer("max_seq_len", self.max_seq_len, at_least=2)
        if self.max_prefill_len is not None:
            _check_integer("max_prefill_len", self.max_prefill_len, at_least=2)
            _check_prefill(self.max_prefill_len, self.max_seq_len, self.dynamic_shapes)
            if self.max_prefill_len == self.max_seq_len:
                object.__setattr__(self, "max_prefill_len", None)  # one configuration, however it is said
        if self.max_source_len is not None:
            _check_integer("max_source_len", self.max_source_len, at_least=1)
        if self.image_size is not None:
            _check_integer("image_size", self.image_size, at_least=1)
        self._check_quantization()
        self._check_pt2e()
        self._check_attention()
        self._check_local_attention()
        if self.use_shared_embedding and (self.quantized or self.recipe != "portable"):
            raise ExportError(
                "use_shared_embedding needs the recipe 'portable' and no quantization: XNNPACK packs the output layer's weight "
                "into its delegate, and no kernel runs a linear layer over a quantized embedding."
            )

    def _check_quantization(self) -> None:
        for kind, value, schemes, size in (
            ("qlinear", self.qlinear, QLINEAR, self.qlinear_group_size),
            ("qembedding", self.qembedding, QEMBEDDING, self.qembedding_group_size),
            ("qlinear_encoder", self.qlinear_encoder, QLINEAR, self.qlinear_encoder_group_size),
            ("qembedding_encoder", self.qembedding_encoder, QEMBEDDING, self.qembedding_encoder_group_size),
        ):
            option = f"{kind}_group_size"
            if size is not None:
                _check_integer(option, size, at_least=0)
            if value is None:
                if size is not None:
                    raise ExportError(f"{option} {size} without {kind} would be ignored; add {kind} {next(iter(schemes))}.")
                continue
            scheme = schemes[value]
            if self.recipe not in scheme.group_sizes:
                raise ExportError(
                    f"{kind} {value!r} needs the recipe {' or '.join(map(repr, scheme.group_sizes))}: no kernel of the recipe "
                    f"{self.recipe!r} runs it, every call would fail."
                )
            if self.dtype not in scheme.dtypes:
                raise ExportError(
                    f"{kind} {value!r} cannot be had with dtype {self.dtype!r}: its kernels take {' and '.join(scheme.dtypes)}."
                )
            allowed = scheme.group_sizes[self.recipe]
            if size == scheme.group_size:
                object.__setattr__(self, option, None)  # one configuration, however it is said
            if size is not None and size not in allowed and not (GROUPED in allowed and size and size % 32 == 0):
                spoken = " or ".join("a multiple of 32" if each == GROUPED else "0 (one scale a channel)" for each in allowed)
                raise ExportError(
                    f"{option} {size} cannot be honoured with {kind} {value!r} and the recipe {self.recipe!r}: their "
                    f"kernels take {spoken}."
                )
        if self.qlinear is None and self.qlinear_encoder is None and self.allow_skipped_layers:
            raise ExportError("allow_skipped_layers without qlinear would be ignored; add qlinear 8da4w.")

    def _check_pt2e(self) -> None:
        if self.pt2e_quantize is None:
            return
        for option in ("qlinear", "qlinear_encoder"):
            if getattr(self, option) is not None:
                raise ExportError(
                    f"pt2e_quantize and {option} both quantize linear layers, one of them before the program is exported; "
                    "give one of the two."
                )
        scheme = PT2E[self.pt2e_quantize]
        if self.recipe not in scheme.group_sizes:
            raise ExportError(
                f"pt2e_quantize {self.pt2e_quantize!r} needs the recipe 'xnnpack', whose kernels it quantizes for, and not "
                f"{self.recipe!r}."
            )
        if self.dtype not in scheme.dtypes:
            raise ExportError(
                f"pt2e_quantize {self.pt2e_quantize!r} cannot be had with dtype {self.dtype!r}: ExecuTorch's quantizer "
                "annotates layers of fp32 only."
            )

    def _check_local_attention(self) -> None:
        windows = self.local_global_attention
        if windows is None:
            return
        if not isinstance(windows, str) or not re.fullmatch(r"(0|[1-9][0-9]*)(,(0|[1-9][0-9]*))*", windows):
            raise ExportError(
                f"local_global_attention is {windows!r}; give the windows of the layers in tokens, 0 for one that attends to "
                "everything, such as '16,0'."
            )
        pattern = windows.split(",")
        if set(pattern) == {"0"}:
            raise ExportError(f"local_global_attention {windows!r} gives no layer a window and would be ignored; leave it out.")
        if not self.use_custom_kv_cache:
            raise ExportError("local_global_attention needs use_custom_kv_cache, whose rings keep the windows; add it.")
        if self.use_attention_sink is not None:
            raise ExportError(
                "local_global_attention and use_attention_sink both say what a layer forgets; give one of the two."
            )
        period = next(
            n
            for n in range(1, len(pattern) + 1)
            if pattern == (pattern[:n] * len(pattern))[: len(pattern)] and len(pattern) % n == 0
        )
        object.__setattr__(self, "local_global_attention", ",".join(pattern[:period]))  # one configuration, however it is said

    def _check_attention(self) -> None:
        if self.quantize_kv_cache and not self.use_custom_kv_cache:
            raise ExportError("quantize_kv_cache needs use_custom_kv_cache, whose cache it stores in 8 bits; add it.")
        if self.use_attention_sink is None:
            return
        if not isinstance(self.use_attention_sink, str) or not re.fullmatch(
            r"[1-9][0-9]{0,8},[1-9][0-9]{0,8}", self.use_attention_sink
        ):
            raise ExportError(
                f"use_attention_sink is {self.use_attention_sink!r}; give the sinks and the window in tokens, such as '4,1024'."
            )
        if not (self.use_custom_sdpa and self.use_custom_kv_cache):
            raise ExportError("use_attention_sink needs use_custom_sdpa and use_custom_kv_cache; add them.")

    @property
    def id(self) -> str:
        """The configuration's id; ``from_id`` reads it back."""
        parts = [self.recipe, self.dtype]
        parts += ["sdpa"] if self.use_custom_sdpa else []
        parts += ["kv8" if self.quantize_kv_cache else "kv"] if self.use_custom_kv_cache else []
        parts += [f"sink{self.use_attention_sink.replace(',', 'w')}"] if self.use_attention_sink else []
        parts += [f"lg{self.local_global_attention.replace(',', '.')}"] if self.local_global_attention else []
        if self.qlinear:
            parts.append(self.qlinear.replace(",", "+"))
            parts += [group] if (group := _spoken(self.group_size, QLINEAR[self.qlinear])) else []
        parts += [_PT2E_PARTS[self.pt2e_quantize]] if self.pt2e_quantize else []
        if self.qembedding:
            parts.append(f"emb{self.qembedding}{_spoken(self.embedding_group_size, QEMBEDDING[self.qembedding])}")
        if self.qlinear_encoder:
            parts.append(f"enc{self.qlinear_encoder.replace(',', '+')}")
            size = _effective(self.qlinear_encoder_group_size, QLINEAR, self.qlinear_encoder)
            parts += [group] if (group := _spoken(size, QLINEAR[self.qlinear_encoder])) else []
        if self.qembedding_encoder:
            size = _effective(self.qembedding_encoder_group_size, QEMBEDDING, self.qembedding_encoder)
            parts.append(f"encemb{self.qembedding_encoder}{_spoken(size, QEMBEDDING[self.qembedding_encoder])}")
        parts += ["shared"] if self.use_shared_embedding else []
        parts += [] if self.dynamic_shapes else ["static"]
        return "-".join(parts)

    @property
    def group_size(self) -> int:
        """The group size of linear layers in effect; ``PER_CHANNEL`` for one scale a channel."""
        return _effective(self.qlinear_group_size, QLINEAR, self.qlinear)

    @property
    def embedding_group_size(self) -> int:
        """The group size of the embedding in effect; ``PER_CHANNEL`` for one scale a row."""
        return _effective(self.qembedding_group_size, QEMBEDDING, self.qembedding)

    @property
    def linear_schemes(self) -> tuple[Scheme, ...]:
        """How linear layers are quantized, wherever they are."""
        named = [QLINEAR[name] for name in (self.qlinear, self.qlinear_encoder) if name is not None]
        return (*named, *([PT2E[self.pt2e_quantize]] if self.pt2e_quantize is not None else []))

    @property
    def of_encoder(self) -> ExportConfig:
        """The configuration whose ``qlinear`` and ``qembedding`` are those of the encoder."""
        return dataclasses.replace(
            self,
            qlinear=self.qlinear_encoder,
            qlinear_group_size=self.qlinear_encoder_group_size,
            qembedding=self.qembedding_encoder,
            qembedding_group_size=self.qembedding_encoder_group_size,
            qlinear_encoder=None,
            qlinear_encoder_group_size=None,
            qembedding_encoder=None,
            qembedding_encoder_group_size=None,
            pt2e_quantize=None,
            allow_skipped_layers=self.allow_skipped_layers and self.qlinear_encoder is not None,
        )

    @property
    def attention_sink(self) -> tuple[int, int] | None:
        """Sinks and window, in tokens."""
        if self.use_attention_sink is None:
            return None
        sinks, window = self.use_attention_sink.split(",")
        return int(sinks), int(window)

    @property
    def local_windows(self) -> tuple[int, ...] | None:
        """The windows of the layers in turn, in tokens; 0 for a layer that attends to everything."""
        if self.local_global_attention is None:
            return None
        return tuple(int(window) for window in self.local_global_attention.split(","))

    @property
    def forgets(self) -> bool:
        """Whether layers that have no window in the model are given one."""
        return self.use_attention_sink is not None or self.local_global_attention is not None

    @property
    def quantized(self) -> bool:
        """Whether any weight is quantized."""
        return any((self.qlinear, self.qembedding, self.qlinear_encoder, self.qembedding_encoder, self.pt2e_quantize))

    @property
    def reduces(self) -> bool:
        """Whether the program computes something else than the checkpoint in fp32 does: it rounds, or it forgets."""
        return self.dtype != "fp32" or self.quantized or self.quantize_kv_cache or self.forgets

    @classmethod
    def from_id(cls, text: str, **options: Any) -> ExportConfig:
        """The configuration of an id, with further ``options`` that ids do not carry.

        Raises:
            ExportError: the text is no id, or it names an unknown option.
        """
        match = _ID.fullmatch(text)
        if match is None:
            raise ExportError(
                f"{text!r} is no configuration id. One reads recipe-dtype[-sdpa][-kv[8]][-sinkSwW|-lgW.W]"
                "[-8da4w[-gN|-pc]|-pt2e][-emb8w[gN]][-enc8da4w[-gN|-pc]][-encemb8w[gN]][-shared][-static], such as "
                "'xnnpack-fp32-sdpa-kv-8da4w-emb8w'."
            )
        config = cls(
            recipe=match["recipe"],
            dtype=match["dtype"],
            use_custom_sdpa=match["sdpa"] is not None,
            use_custom_kv_cache=match["kv"] is not None,
            quantize_kv_cache=match["kv"] == "8",
            use_attention_sink=match["sink"] and match["sink"].replace("w", ","),
            local_global_attention=match["local"] and match["local"].replace(".", ","),
            qlinear=match["qlinear"] and match["qlinear"].replace("+", ","),
            qlinear_group_size=_read(match["group"]),
            qembedding=match["qembedding"],
            qembedding_group_size=_read(match["egroup"]),
            qlinear_encoder=match["qlinear_encoder"] and match["qlinear_encoder"].replace("+", ","),
            qlinear_encoder_group_size=_read(match["encgroup"]),
            qembedding_encoder=match["qembedding_encoder"],
            qembedding_encoder_group_size=_read(match["encegroup"]),
            pt2e_quantize=next((name for name, part in _PT2E_PARTS.items() if part == match["pt2e"]), None),
            use_shared_embedding=match["shared"] is not None,
            dynamic_shapes=match["static"] is None,
            **options,
        )
        if config.id != text:
            raise ExportError(f"{text!r} is not written as ids are; type {config.id!r}.")
        return config

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> ExportConfig:
        """The configuration of a mapping of option names to values.

        Raises:
            ExportError: an option does not exist (the nearest one is named) or its value is not allowed.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise unknown_option("option", name, names)
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """Every option and its value; ``from_mapping`` reads it back."""
        return dataclasses.asdict(self)


def read_metadata(value: str | Mapping[str, Any]) -> dict[str, Any]:
    """The constant methods that a JSON object names, as ``ExportConfig.metadata`` takes them; or a mapping.

    Raises:
        ExportError: it is no JSON object, or names what no constant method can be.
    """
    found: Any = value
    for _ in range(2):  # hydra wants JSON text in quotes of its own
        if isinstance(found, str):
            try:
                found = json.loads(found)
            except json.JSONDecodeError as error:
                raise ExportError(f"metadata {value!r} is no JSON: {error}. Give an object, such as {_METADATA}.") from error
    return _constants(found)


_METADATA = """'{"get_bos_id": 1, "get_eos_ids": [2, 3]}'"""


def _constants(values: object) -> dict[str, Any]:
    """Names and types of constant methods, checked."""
    if not isinstance(values, Mapping):
        raise ExportError(f"metadata is {values!r}; give names and values, such as {_METADATA}.")
    found: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ExportError(
                f"metadata names {name!r}; a method's name has letters, digits and underscores, such as get_bos_id."
            )
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        if not items or not all(_is_constant(item) for item in items) or len({type(item) for item in items}) > 1:
            raise ExportError(
                f"metadata {name} is {value!r}; a constant method answers a whole number of 64 bits, a finite fraction, true "
                "or false, a text, or a list of one kind of them."
            )
        found[name] = items if isinstance(value, (list, tuple)) else value
    return found


def _is_constant(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (bool, str)) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def _check_integer(name: str, value: object, *, at_least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ExportError(f"{name} is {value!r}; give a whole number of at least {at_least}.")


def _check_prefill(length: int, max_seq_len: int | None, dynamic_shapes: bool) -> None:
    if not dynamic_shapes:
        raise ExportError(
            f"max_prefill_len {length} without dynamic_shapes would be ignored: such a program takes one token a call. Give "
            "one of the two."
        )
    if max_seq_len is not None and length > max_seq_len:
        raise ExportError(
            f"max_prefill_len {length} exceeds the {max_seq_len} positions of the cache (max_seq_len); use at most "
            f"{max_seq_len}."
        )


def _effective(size: int | None, schemes: Mapping[str, Scheme], name: str | None) -> int:
    return size if size is not None else schemes[name].group_size if name else PER_CHANNEL


def _spoken(size: int, scheme: Scheme) -> str:
    """The part of an id that names a group size; empty for the scheme's default."""
    return "" if size == scheme.group_size else "pc" if size == PER_CHANNEL else f"g{size}"


def _read(group: str | None) -> int | None:
    return None if group is None else PER_CHANNEL if group == "pc" else int(group[1:])

"""``ExportConfig``: what is asked of an export, validated, and the grammar of configuration ids.

An id reads ``recipe-dtype[-sdpa][-kv][-qlinear[-gN]][-embQ][-static]``, for example ``xnnpack-fp32-sdpa-kv-8da4w-emb8w``:

========== ================================================================================
``sdpa``    attention is the custom operator ``llama::custom_sdpa``
``kv``      the KV cache is updated by ``llama::update_cache``, as a ring in sliding-window layers
``8da4w``   linear layers have 4-bit weights and 8-bit dynamic activations
``gN``      the weights' group size, where it is not the default of 32
``emb8w``   the embedding has 8-bit weights
``static``  the graph takes one token a call instead of a dynamic sequence length
========== ================================================================================

``max_seq_len`` and ``allow_skipped_layers`` belong to the model at hand and are not part of the id.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exporters.errors import ExportError, unknown_option

DEFAULT_GROUP_SIZE = 32
RECIPES = ("portable", "xnnpack")
DTYPES = ("fp32",)
QLINEAR = ("8da4w",)
QEMBEDDING = ("8w",)
_ID = re.compile(
    r"(?P<recipe>[a-z0-9]+)-(?P<dtype>[a-z]+[0-9]+)(?P<sdpa>-sdpa)?(?P<kv>-kv)?"
    r"(?:-(?P<qlinear>[0-9]+(?:da[0-9]+)?w)(?:-g(?P<group>[0-9]+))?)?(?:-emb(?P<qembedding>[0-9]+w))?(?P<static>-static)?"
)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """One configuration of an export. Instances are valid: construction raises ``ExportError`` otherwise."""

    recipe: str = "xnnpack"
    """How exported programs are lowered: ``portable`` or ``xnnpack``."""
    dtype: str = "fp32"
    """Type of the weights and activations that are not quantized."""
    use_custom_sdpa: bool = False
    """Attention through ``llama::custom_sdpa``."""
    use_custom_kv_cache: bool = False
    """KV cache through ``llama::update_cache``; sliding-window layers keep a ring of their window."""
    qlinear: str | None = None
    """Quantization of linear layers: ``8da4w``, or ``None``."""
    qlinear_group_size: int = DEFAULT_GROUP_SIZE
    """Input features that share a scale, for ``qlinear``."""
    qembedding: str | None = None
    """Quantization of the embedding: ``8w`` (one scale a row), or ``None``."""
    allow_skipped_layers: bool = False
    """Leave linear layers that the group size does not divide unquantized, by name, instead of refusing."""
    dynamic_shapes: bool = True
    """Accept 1 to ``max_seq_len`` tokens a call; otherwise exactly one."""
    max_seq_len: int | None = None
    """Positions the cache holds, prompt and answer together; ``None`` takes the checkpoint's context, at most 2048."""

    def __post_init__(self) -> None:
        for kind, value, allowed in (
            ("recipe", self.recipe, RECIPES),
            ("dtype", self.dtype, DTYPES),
            ("qlinear", self.qlinear, (None, *QLINEAR)),
            ("qembedding", self.qembedding, (None, *QEMBEDDING)),
        ):
            if value not in allowed:
                raise unknown_option(kind, value, [name for name in allowed if name])
        for flag in ("use_custom_sdpa", "use_custom_kv_cache", "allow_skipped_layers", "dynamic_shapes"):
            if not isinstance(getattr(self, flag), bool):
                raise ExportError(f"{flag} is {getattr(self, flag)!r}; allowed: true, false.")
        self._check_integer("qlinear_group_size", self.qlinear_group_size, at_least=1)
        if self.max_seq_len is not None:
            self._check_integer("max_seq_len", self.max_seq_len, at_least=2)
        if self.qlinear is None:
            if self.qlinear_group_size != DEFAULT_GROUP_SIZE:
                raise ExportError(
                    f"qlinear_group_size {self.qlinear_group_size} without qlinear would be ignored; add qlinear 8da4w."
                )
            if self.allow_skipped_layers:
                raise ExportError("allow_skipped_layers without qlinear would be ignored; add qlinear 8da4w.")
        else:
            if self.recipe != "xnnpack":
                # executorch 1.4.1: without a delegate every execute fails with 0x12.
                raise ExportError(
                    f"qlinear {self.qlinear!r} needs the recipe 'xnnpack': no portable kernel runs it, every call would "
                    f"fail. The recipe is {self.recipe!r}."
                )
            if self.qlinear_group_size % 32:
                # executorch 1.4.1: XNNPACK's blockwise 4-bit kernels take block sizes in steps of 32.
                raise ExportError(
                    f"qlinear_group_size {self.qlinear_group_size} cannot be honoured: XNNPACK takes multiples of 32. "
                    "Use 32, 64 or 128."
                )

    @staticmethod
    def _check_integer(name: str, value: object, *, at_least: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ExportError(f"{name} is {value!r}; give a whole number of at least {at_least}.")

    @property
    def id(self) -> str:
        """The configuration's id; ``from_id`` reads it back."""
        parts = [self.recipe, self.dtype]
        parts += ["sdpa"] if self.use_custom_sdpa else []
        parts += ["kv"] if self.use_custom_kv_cache else []
        if self.qlinear:
            parts.append(self.qlinear)
            parts += [f"g{self.qlinear_group_size}"] if self.qlinear_group_size != DEFAULT_GROUP_SIZE else []
        parts += [f"emb{self.qembedding}"] if self.qembedding else []
        parts += [] if self.dynamic_shapes else ["static"]
        return "-".join(parts)

    @property
    def quantized(self) -> bool:
        """Whether any weight is quantized."""
        return self.qlinear is not None or self.qembedding is not None

    @classmethod
    def from_id(cls, text: str, **options: Any) -> ExportConfig:
        """The configuration of an id, with further ``options`` that ids do not carry.

        Raises:
            ExportError: the text is no id, or it names an unknown option.
        """
        match = _ID.fullmatch(text)
        if match is None:
            raise ExportError(
                f"{text!r} is no configuration id. One reads recipe-dtype[-sdpa][-kv][-8da4w[-gN]][-emb8w][-static], "
                "such as 'xnnpack-fp32-sdpa-kv-8da4w-emb8w'."
            )
        config = cls(
            recipe=match["recipe"],
            dtype=match["dtype"],
            use_custom_sdpa=match["sdpa"] is not None,
            use_custom_kv_cache=match["kv"] is not None,
            qlinear=match["qlinear"],
            qlinear_group_size=int(match["group"] or DEFAULT_GROUP_SIZE),
            qembedding=match["qembedding"],
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

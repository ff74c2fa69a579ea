"""Configuration files in the shape of ``LlmConfig``, which ExecuTorch's ``export_llm`` reads.

The fields are those of ``executorch/extension/llm/export/config/llm_config.py`` (executorch 1.4.1); a further section,
``options``, takes options of ``zoo export`` by their names and wins over the others. What a file does not say is left to
``zoo export``; what it says is honoured, or refused by name with the reason.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pydantic
import yaml

from exporters.config import ExportConfig, read_metadata
from exporters.errors import ExportError, unknown_option
from exporters.llm_schema import Base, LlmConfig, Lora, Section, explain

DTYPE_NAMES: Mapping[Any, str] = MappingProxyType({"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"})
"""torch's names of types."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Everything that ``zoo export`` is asked for: what to export, how, and what to write beside it."""

    config: ExportConfig = dataclasses.field(default_factory=ExportConfig)
    model: str | None = None
    """A registry name, a checkpoint directory or a hub id."""
    model_class: str | None = None
    """LlmConfig's name of an architecture: it names the model if nothing else does, and is checked otherwise."""
    params: str | None = None
    """A params.json whose dimensions the checkpoint must have."""
    task: str | None = None
    scale: str = "twin"
    revision: str | None = None
    format: str = "pte"
    """``pte``, ``pt2`` or ``onnx``."""
    output_dir: str = "."
    output_name: str | None = None
    """What the ``.pte`` is called, instead of model.pte."""
    check: bool = True
    stock_lowering: bool = False
    verbose: bool = False
    """Print which operators are delegated."""
    etrecord: bool = False
    profile_memory: bool = False
    profile: bool = False
    profile_path: str | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "bool" and not isinstance(value, bool):
                raise ExportError(f"{field.name} is {value!r}; allowed: true, false.")
            if "str" in str(field.type) and not isinstance(value, str) and not (value is None and "None" in str(field.type)):
                raise ExportError(f"{field.name} is {value!r}; give text, in quotes if it looks like a number.")
        name = self.output_name
        if name is not None:
            if name != Path(name).name or name in ("", ".pte"):
                raise ExportError(f"output_name {name!r} is no file name; the directory is given by output_dir.")
            if not name.endswith(".pte"):
                object.__setattr__(self, "output_name", f"{name}.pte")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Request:
        """The request of option names and values; what is not named has its default.

        Raises:
            ExportError: an option does not exist, or its value is not allowed.
        """
        own = {field.name for field in dataclasses.fields(cls)} - {"config"}
        configuration = {name: value for name, value in options.items() if name not in own}
        if "dtype" in configuration:
            configuration["dtype"] = DTYPE_NAMES.get(configuration["dtype"], configuration["dtype"])
        config = ExportConfig.from_mapping(configuration)
        return cls(config=config, **{name: value for name, value in options.items() if name in own})

    def to_yaml(self) -> str:
        """A configuration file that asks for the same: ``read`` and ``from_options`` give it back."""
        return yaml.safe_dump(_to_sections(self), sort_keys=False, allow_unicode=True)


HUB_IDS: Mapping[str, str] = MappingProxyType(
    {
        "llama3_2": "meta-llama/Llama-3.2-1B",
        "qwen2_5_0_5b": "Qwen/Qwen2.5-0.5B",
        "qwen2_5_1_5b": "Qwen/Qwen2.5-1.5B",
        "qwen2_5_coder_32b": "Qwen/Qwen2.5-Coder-32B-Instruct",
        "phi_4_mini": "microsoft/Phi-4-mini-instruct",
        "smollm2": "HuggingFaceTB/SmolLM2-135M",
        "qwen3_0_6b": "Qwen/Qwen3-0.6B",
        "qwen3_1_7b": "Qwen/Qwen3-1.7B",
        "qwen3_4b": "Qwen/Qwen3-4B",
        "qwen3_5_0_8b": "Qwen/Qwen3.5-0.8B",
        "qwen3_5_2b": "Qwen/Qwen3.5-2B",
        "qwen3_5_4b": "Qwen/Qwen3.5-4B",
        "lfm2_350m": "LiquidAI/LFM2-350M",
        "lfm2_700m": "LiquidAI/LFM2-700M",
        "lfm2_1_2b": "LiquidAI/LFM2-1.2B",
        "lfm2_5_350m": "LiquidAI/LFM2.5-350M",
        "lfm2_5_1_2b": "LiquidAI/LFM2.5-1.2B-Instruct",
    }
)
"""The published checkpoint of each ``model_class``, as ``HUGGING_FACE_REPO_IDS`` of executorch's ``export_llama_lib.py`` has
them; for ``llama3_2`` the one that its documentation exports. The others have none there and need ``base.checkpoint``."""

MODEL_TYPES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "stories110m": ("llama",),
        "llama": ("llama",),
        "static_llama": ("llama",),
        "qwen2_5": ("qwen2",),
        "qwen3_5": ("qwen3_5", "qwen3_5_text"),
        "qwen3": ("qwen3",),
        "phi_4_mini": ("phi3",),
        "smollm2": ("llama",),
        "lfm2": ("lfm2",),
    }
)
"""What config.json may call an architecture, by how the ``model_class`` begins; the first that fits counts."""

RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "base.checkpoint": "model",
        "base.model_class": "model_class",
        "base.params": "params",
        "model.dtype_override": "dtype",
        "model.enable_dynamic_shape": "dynamic_shapes",
        "model.use_shared_embedding": "use_shared_embedding",
        "export.output_dir": "output_dir",
        "export.output_name": "output_name",
        "quantization.group_size": "qlinear_group_size",
        "debug.verbose": "verbose",
        "debug.generate_etrecord": "etrecord",
        "debug.profile_memory": "profile_memory",
        "debug.profile_path": "profile_path",
    }
)
"""Fields that are options of ``zoo export`` under another name."""

_CPU = "zoo export lowers for CPUs, with the recipes xnnpack and portable"
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "base.lora_config": "adapters are not exported; merge the adapter into its checkpoint and export that",
        "base.use_lora": "adapters are not exported; merge the adapter into its checkpoint and export that",
        "base.tokenizer_path": "export_llm calibrates with it, and nothing is calibrated here; the checkpoint's own "
        "lies beside the program",
        "base.preq_mode": "checkpoints that are quantized already are not read; give the original and quantization.qmode",
        "base.preq_group_size": "checkpoints that are quantized already are not read; give quantization.group_size",
        "base.preq_embedding_quantize": "checkpoints that are quantized already are not read; give "
        "quantization.embedding_quantize",
        "model.expand_rope_table": "it rearranges a table of ExecuTorch's own Llama; the models here are transformers'",
        "model.output_prune_map": "vocabularies are not pruned",
        "model.input_prune_map": "vocabularies are not pruned",
        "export.so_library": "no library of operators is loaded; programs run with ExecuTorch's own kernels",
        "export.foundation_weights_file": "weights are written into the .pte, and into no file beside it",
        "export.lora_weights_file": "weights are written into the .pte, and into no file beside it",
        "multimethod": "the methods of a program are those of its task",
        "quantization.use_spin_quant": "weights are not rotated",
        "quantization.use_qat": "checkpoints of quantization-aware training are not read",
        "quantization.quantize_scope": "it is for Arm's PT2E quantizers (TOSA, Ethos-U, VGF); " + _CPU,
        "quantization.calibration_tasks": "nothing is calibrated: activations are quantized while running",
        "quantization.calibration_limit": "nothing is calibrated: activations are quantized while running",
        "quantization.calibration_seq_length": "nothing is calibrated: activations are quantized while running",
        "quantization.calibration_data": "nothing is calibrated: activations are quantized while running",
        "backend.coreml": _CPU,
        "backend.vulkan": _CPU,
        "backend.qnn": _CPU,
        "backend.mps": _CPU,
        "backend.openvino": _CPU,
        "backend.torchao": "torchao's low-bit kernels are for Arm CPUs, in place of XNNPACK; use quantization.qmode 8da4w",
        "backend.tosa": _CPU,
        "backend.ethosu": _CPU,
        "backend.vgf": _CPU,
        "backend.mlx": _CPU,
    }
)
"""Fields and sections that must keep their default, each with the reason."""

ALWAYS: Mapping[str, tuple[Any, str]] = MappingProxyType(
    {
        "model.use_kv_cache": (True, "every language model is exported with its KV cache, as forward(tokens, input_pos)"),
        "debug.generate_full_logits": (True, "programs give the logits of every token, which is how they are checked"),
        "backend.xnnpack.extended_ops": (True, "XNNPACK is given every operator that it can run"),
        "quantization.use_hqq": (False, "scales are taken from the range of the weights, without HQQ"),
    }
)
"""Fields that can be left out or say what is so anyway; the contrary is refused, also where it is LlmConfig's default."""

QMODES: Mapping[str, str] = MappingProxyType({"8da4w": "8da4w", "int8": "8w", "4w": "4w"})
"""``qmode``: ``qlinear``."""


def read(path: Path | None, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The options of ``zoo export`` that a configuration file and overrides ask for, by name.

    Args:
        path: A YAML file in the shape of LlmConfig, or ``None`` for an empty one.
        overrides: ``section.key=value`` or ``+section.key=value``; values are written as in YAML. Later ones win.

    Raises:
        ExportError: the file cannot be read, a field does not exist, or something in it cannot be honoured.
    """
    data = {} if path is None else load_yaml(_read_text(path), str(path))
    place = "the overrides" if path is None else str(path)
    for override in overrides:
        _override(data, override)
    try:
        file = LlmConfig.model_validate(data)
    except pydantic.ValidationError as error:
        raise ExportError(f"{place}: {explain(error)}") from None
    try:
        return {**_translate(dict(_said(file))), **_own(file.options)}
    except ExportError as error:
        raise ExportError(f"{place}: {error}") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ExportError(
            f"--config {path} does not exist. 'zoo export --print-config > {path}' writes one to begin with."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"--config {path} cannot be read: {error}. Give a YAML file.") from None


class _Loader(yaml.SafeLoader):
    """Plain YAML in which no key stands twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_yaml(text: str, place: str) -> dict[str, Any]:
    """A mapping written in YAML, with plain values only.

    Raises:
        ExportError: it is no mapping, no YAML, names a key twice, or asks for more than plain values.
    """
    found = _parse(text, place)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ExportError(f"{place} holds {type(found).__name__} where sections belong, such as 'model:'.")
    return found


def _parse(text: str, place: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = error.problem or "it is no YAML"
        tag = re.search(r"constructor for the tag '([^']*)'", problem)
        if tag is not None:
            problem = f"the tag {tag[1]!r} is refused; write plain values"
        raise ExportError(f"{place}{line}: {problem}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ExportError(f"{place} cannot be read as YAML: {' '.join(str(error).split())}.") from None


_OVERRIDE = re.compile(r"\+{0,2}(?P<key>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)=(?P<value>.*)", re.DOTALL)


def _override(data: dict[str, Any], text: str) -> None:
    match = _OVERRIDE.fullmatch(text)
    if match is None:
        raise ExportError(
            f"{text!r} is no override: one reads section.key=value, such as debug.verbose=True. A model is given with --model."
        )
    *sections, name = match["key"].split(".")
    for section in sections:
        if not isinstance(data.setdefault(section, {}), (dict, type(None))):
            raise ExportError(f"{text!r}: {section} is {data[section]!r} in the file, and no section.")
        data[section] = data = dict(data[section] or {})
    data[name] = _parse(match["value"], text) if match["value"] else ""


def _said(section: pydantic.BaseModel, above: str = "") -> Iterator[tuple[str, Any]]:
    """What a file says, by the path of the field; what it leaves out is not among it."""
    for name in section.model_fields_set:
        value = getattr(section, name)
        path = f"{above}{name}"
        if isinstance(value, Section) and not isinstance(value, Lora):
            yield from _said(value, f"{path}.")
        elif path not in LlmConfig.OWN:
            yield path, value


def _translate(said: dict[str, Any]) -> dict[str, Any]:
    """LlmConfig's fields as options of ``zoo export``."""
    refused = [f"{path}: {_spoken(value)}: {reason}" for path, value in said.items() if (reason := _refusal(path, value))]
    if refused:
        raise ExportError(f"cannot be honoured: {'; '.join(sorted(refused))}.")
    options = {RENAMED[path]: value for path, value in said.items() if path in RENAMED and value is not None}
    for path, translate in _TRANSLATORS.items():
        if said.get(path) is not None:
            options |= translate(said[path])
    return options | _lengths(said.get("export.max_seq_length"), said.get("export.max_context_length"))


def _refusal(path: str, value: Any) -> str | None:
    """Why a value cannot be honoured."""
    if path in ALWAYS:
        only, reason = ALWAYS[path]
        return None if value == only else f"{reason}; leave it out, or write {only}"
    for refused, reason in REFUSED.items():
        if path == refused or path.startswith(f"{refused}."):
            return None if value == _default(path) else f"{reason}; remove it"
    return None


def _spoken(value: Any) -> str:
    return value if isinstance(value, str) else "..." if isinstance(value, (Lora, list)) else str(value)


def _default(path: str) -> Any:
    value: Any = LlmConfig()
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _lengths(prompt: int | None, context: int | None) -> dict[str, Any]:
    """``max_context_length`` is what the cache holds, ``max_seq_length`` the longest prompt of a call."""
    if prompt is None or context is None:
        length = context if context is not None else prompt
        return {} if length is None else {"max_seq_len": length}
    if context < prompt:
        raise ExportError(
            f"export.max_context_length {context} is shorter than export.max_seq_length {prompt}; make it longer."
        )
    return {"max_seq_len": context} | ({"max_prefill_len": prompt} if prompt < context else {})


def _checkpoint(value: str) -> dict[str, Any]:
    if Path(value).suffix in (".pth", ".pt", ".bin", ".ckpt"):
        raise ExportError(
            f"base.checkpoint {value} is pickled and never loaded; give a directory with config.json and *.safetensors, "
            "or a hub id such as meta-llama/Llama-3.2-1B."
        )
    if Path(value).suffix == ".safetensors":
        raise ExportError(
            f"base.checkpoint {value} is one file; give its directory, {Path(value).parent}, with config.json in it."
        )
    return {"model": value}


def _attention_sink(value: str) -> dict[str, Any]:
    if re.fullmatch(r"\d+,\d+,\d+", value):
        sinks, window, batch = value.split(",")
        raise ExportError(
            f"model.use_attention_sink {value} has three numbers: {sinks} sinks, a window of {window}, and {batch} positions "
            f"that older versions of ExecuTorch evicted at once; here one is, for each new one. Write '{sinks},{window}'."
        )
    return {"use_attention_sink": value, "use_custom_sdpa": True, "use_custom_kv_cache": True}


def _qmode(value: str) -> dict[str, Any]:
    if value in QMODES:
        return {"qlinear": QMODES[value]}
    if value == "8da4w-gptq":
        raise ExportError("quantization.qmode 8da4w-gptq: nothing is calibrated here; use 8da4w.")
    if re.fullmatch(r"torchao:(8da|fpa)\d+w", value):
        raise ExportError(
            f"quantization.qmode {value}: torchao's low-bit kernels are for Arm CPUs, in place of XNNPACK; use 8da4w or int8."
        )
    raise unknown_option("quantization.qmode", value, QMODES)


def _embedding(value: str) -> dict[str, Any]:
    if value.startswith("torchao:"):
        raise ExportError(
            f"quantization.embedding_quantize {value}: torchao's low-bit kernels are for Arm CPUs; use 8,0 or 4,32."
        )
    match = re.fullmatch(r"(\d+),(\d+)", value)
    if match is None or match[1] not in ("4", "8"):
        raise ExportError(
            f"quantization.embedding_quantize is {value!r}; give 8 or 4 bits and a group size (0: whole rows): '8,0', '4,32'."
        )
    return {"qembedding": f"{match[1]}w", "qembedding_group_size": int(match[2])}


def _pt2e(value: str) -> dict[str, Any]:
    if not value.startswith("xnnpack_"):
        raise ExportError(f"quantization.pt2e_quantize {value}: {_CPU}; use xnnpack_dynamic or xnnpack_dynamic_qc4.")
    return {"pt2e_quantize": value}


_TRANSLATORS: Mapping[str, Callable[[Any], dict[str, Any]]] = MappingProxyType(
    {
        "base.checkpoint": _checkpoint,
        "base.metadata": lambda value: {"metadata": read_metadata(value)},
        "export.export_only": lambda value: {"format": "pt2"} if value else {},
        "model.use_attention_sink": _attention_sink,
        "model.use_sdpa_with_kv_cache": lambda value: {"use_custom_sdpa": value, "use_custom_kv_cache": value},
        "model.quantize_kv_cache": lambda value: (
            {"quantize_kv_cache": value} | ({"use_custom_kv_cache": True} if value else {})
        ),
        "model.local_global_attention": lambda value: {
            "local_global_attention": ",".join(map(str, value)),
            "use_custom_kv_cache": True,
        },
        "quantization.qmode": _qmode,
        "quantization.embedding_quantize": _embedding,
        "quantization.pt2e_quantize": _pt2e,
        "backend.xnnpack.enabled": lambda value: {"recipe": "xnnpack" if value else "portable"},
    }
)
"""Fields that say several things, or say them otherwise; later ones win."""


def _own(options: Mapping[str, Any]) -> dict[str, Any]:
    """The section ``options``: names of ``zoo export``."""
    names = [field.name for each in (Request, ExportConfig) for field in dataclasses.fields(each) if field.name != "config"]
    for name in options:
        if name not in names:
            raise unknown_option("option", name, names)
    return dict(options)


def _to_sections(request: Request) -> dict[str, Any]:
    """The file that asks for a request: LlmConfig's fields where it has them, and ``options`` for what it does not know."""
    config = request.config.to_mapping()
    defaults = ExportConfig().to_mapping()
    rest = {name: value for name, value in config.items() if value != defaults[name]}
    own = {field.name: getattr(request, field.name) for field in dataclasses.fields(request) if field.name != "config"}
    rest |= {name: value for name, value in own.items() if value != getattr(Request, name, None)}
    sections: dict[str, dict[str, Any]] = {
        "base": {},
        "model": {"use_kv_cache": True, "use_sdpa_with_kv_cache": config["use_custom_sdpa"] and config["use_custom_kv_cache"]},
        "export": {},
        "quantization": {},
        "backend": {"xnnpack": {"enabled": config["recipe"] == "xnnpack"}},
        "debug": {},
    }
    rest.pop("recipe", None)
    if config["use_custom_sdpa"] == config["use_custom_kv_cache"]:
        rest.pop("use_custom_sdpa", None)
        rest.pop("use_custom_kv_cache", None)

    def move(name: str, path: str, said: Callable[[Any], Any] = lambda value: value, *, always: bool = False) -> None:
        if name in rest or always:
            section, field = path.split(".")
            sections[section][field] = said(rest.pop(name, {**config, **own}.get(name)))

    move("model", "base.checkpoint")
    move("model_class", "base.model_class")
    move("params", "base.params")
    move("metadata", "base.metadata", lambda value: json.dumps(dict(value)))
    move("dtype", "model.dtype_override", always=True)
    move("dynamic_shapes", "model.enable_dynamic_shape", always=True)
    move("use_shared_embedding", "model.use_shared_embedding")
    move("quantize_kv_cache", "model.quantize_kv_cache")
    move("use_attention_sink", "model.use_attention_sink")
    move("local_global_attention", "model.local_global_attention", lambda value: [int(each) for each in value.split(",")])
    if "max_seq_len" in rest:
        move("max_prefill_len", "export.max_seq_length")
        move("max_seq_len", "export.max_context_length")
    move("output_dir", "export.output_dir", always=True)
    move("output_name", "export.output_name")
    modes = {qlinear: qmode for qmode, qlinear in QMODES.items()}
    if config["qlinear"] in modes:
        move("qlinear", "quantization.qmode", lambda value: modes[value])
        move("qlinear_group_size", "quantization.group_size")
    if config["qembedding"] is not None:
        size = request.config.embedding_group_size
        sections["quantization"]["embedding_quantize"] = f"{rest.pop('qembedding').removesuffix('w')},{size}"
        rest.pop("qembedding_group_size", None)
    move("pt2e_quantize", "quantization.pt2e_quantize")
    move("verbose", "debug.verbose")
    move("etrecord", "debug.generate_etrecord")
    move("profile_memory", "debug.profile_memory")
    move("profile_path", "debug.profile_path")
    sections["options"] = rest
    return {name: fields for name, fields in sections.items() if fields}


def hub_id(model_class: str) -> str:
    """The published checkpoint that LlmConfig's ``model_class`` stands for.

    Raises:
        ExportError: it stands for none, or there is no such class.
    """
    if model_class in HUB_IDS:
        return HUB_IDS[model_class]
    names = [str(name) for name in Base.model_fields["model_class"].annotation.__args__]  # type: ignore[union-attr]
    if model_class not in names:
        raise unknown_option("model_class", model_class, names)
    raise ExportError(
        f"base.model_class {model_class} names no published checkpoint; give base.checkpoint: a directory with config.json and "
        "*.safetensors, or a hub id."
    )


def check_model_class(model_class: str, checkpoint: Path) -> None:
    """Hold ``base.model_class`` against the architecture of a checkpoint.

    Raises:
        ExportError: it is another one.
    """
    found = _configuration(checkpoint).get("model_type")
    expected = next((types for begin, types in MODEL_TYPES.items() if model_class.startswith(begin)), ())
    if found not in expected:
        raise ExportError(
            f"base.model_class {model_class} and the checkpoint {checkpoint} do not belong together: its config.json says "
            f"model_type {found!r}, not {' or '.join(map(repr, expected))}."
        )


PARAMS: Mapping[str, str] = MappingProxyType(
    {
        "dim": "hidden_size",
        "hidden_dim": "intermediate_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "n_kv_heads": "num_key_value_heads",
        "head_dim": "head_dim",
        "vocab_size": "vocab_size",
        "norm_eps": "rms_norm_eps",
        "rope_theta": "rope_theta",
    }
)
"""Dimensions as params.json and config.json call them."""


def check_params(params: Path, checkpoint: Path) -> tuple[list[str], list[str]]:
    """Hold a params.json against the config.json of a checkpoint, which is what is exported.

    Returns:
        The names that agree, and those that config.json has no word for.

    Raises:
        ExportError: the file cannot be read, or it says something else.
    """
    if not params.is_file():
        raise ExportError(f"base.params {params} does not exist; leave it out, the checkpoint's config.json says the same.")
    try:
        asked = json.loads(params.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"base.params {params} cannot be read: {error}. Leave it out; config.json says the same.") from None
    if not isinstance(asked, dict):
        raise ExportError(f"base.params {params} holds no dimensions; leave it out, the checkpoint's config.json says them.")
    configuration = _configuration(checkpoint)
    known = {**configuration, **(configuration.get("rope_parameters") or {})}
    agreed = [name for name in asked if known.get(PARAMS.get(name, "")) is not None]
    for name in agreed:
        found = known[PARAMS[name]]
        if asked[name] != found:
            raise ExportError(
                f"base.params {params} and the checkpoint {checkpoint} do not belong together: {name} is {asked[name]}, and "
                f"{PARAMS[name]} in config.json is {found}. Leave base.params out, or give the checkpoint it belongs to."
            )
    return agreed, [name for name in asked if name not in agreed]


def _configuration(checkpoint: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{checkpoint / 'config.json'} cannot be read: {error}.") from None
    return found

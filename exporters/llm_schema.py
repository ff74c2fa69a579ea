"""The schema of ExecuTorch's ``LlmConfig``, field by field (executorch 1.4.1, ``extension/llm/export/config/llm_config.py``),
and what is wrong with a file that does not fit it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

import pydantic


class Section(pydantic.BaseModel):
    """A section: every key is known, every value has its type."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value  # "debug:" with nothing below it


class Lora(Section):
    """``LoraConfig``."""

    adapter_checkpoint: str
    adapter_config: str | None = None
    lora_rank: int = 0
    lora_alpha: int = 0
    target_modules: list[str] = []
    adapter_quant: str | None = None


class Base(Section):
    """``BaseConfig``."""

    model_class: Literal[
        "stories110m",
        "llama2",
        "llama3",
        "llama3_1",
        "llama3_2",
        "llama3_2_vision",
        "static_llama",
        "qwen2_5_0_5b",
        "qwen2_5_1_5b",
        "qwen2_5_coder_32b",
        "qwen3_0_6b",
        "qwen3_1_7b",
        "qwen3_4b",
        "qwen3_5_0_8b",
        "qwen3_5_2b",
        "qwen3_5_4b",
        "phi_4_mini",
        "smollm2",
        "lfm2_350m",
        "lfm2_700m",
        "lfm2_1_2b",
        "lfm2_5_350m",
        "lfm2_5_1_2b",
    ] = "llama3"
    params: str | None = None
    checkpoint: str | None = None
    lora_config: Lora | None = None
    tokenizer_path: str | None = None
    metadata: str | dict[str, Any] | None = None
    use_lora: int = 0
    preq_mode: Literal["8da4w", "8da4w_output_8da8w"] | None = None
    preq_group_size: int = 32
    preq_embedding_quantize: str = "8,0"


class Model(Section):
    """``ModelConfig``."""

    dtype_override: Literal["fp32", "fp16", "bf16"] = "fp32"
    enable_dynamic_shape: bool = True
    use_shared_embedding: bool = False
    use_sdpa_with_kv_cache: bool = False
    expand_rope_table: bool = False
    use_attention_sink: str | None = None
    output_prune_map: str | None = None
    input_prune_map: str | None = None
    use_kv_cache: bool = False
    quantize_kv_cache: bool = False
    local_global_attention: list[int] | None = None


class Export(Section):
    """``ExportConfig`` of LlmConfig."""

    max_seq_length: int = 128
    max_context_length: int = 128
    output_dir: str = "."
    output_name: str | None = None
    so_library: str | None = None
    export_only: bool = False
    foundation_weights_file: str | None = None
    lora_weights_file: str | None = None


class Debug(Section):
    """``DebugConfig``."""

    profile_memory: bool = False
    profile_path: str | None = None
    generate_etrecord: bool = False
    generate_full_logits: bool = False
    verbose: bool = False


class Method(Section):
    """``MethodConfig``."""

    method_name: str
    lora_config: Lora | None = None
    export_seq_len: int | None = None


class Multimethod(Section):
    """``MultimethodConfig``."""

    methods: list[Method] = []
    share_mutable_buffers: bool = False


class Quantization(Section):
    """``QuantizationConfig``."""

    qmode: str | None = None
    embedding_quantize: str | None = None
    pt2e_quantize: (
        Literal[
            "xnnpack_dynamic",
            "xnnpack_dynamic_qc4",
            "openvino_4wo",
            "openvino_8wo",
            "qnn_8a8w",
            "qnn_16a16w",
            "qnn_16a4w",
            "coreml_c4w",
            "coreml_8a_c8w",
            "coreml_8a_c4w",
            "coreml_baseline_8a_c8w",
            "coreml_baseline_8a_c4w",
            "vulkan_8w",
            "tosa_8a8w",
            "ethosu_8a8w",
            "ethosu_16a8w",
            "vgf_8a8w",
            "vgf_16a8w",
        ]
        | None
    ) = None
    group_size: int | None = None
    use_spin_quant: Literal["cuda", "native"] | None = None
    use_qat: bool = False
    quantize_scope: Literal["full", "linear"] = "full"
    calibration_tasks: list[str] | None = None
    calibration_limit: int | None = None
    calibration_seq_length: int | None = None
    calibration_data: str = "Once upon a time"
    use_hqq: bool = True


class XNNPack(Section):
    """``XNNPackConfig``."""

    enabled: bool = False
    extended_ops: bool = False


class CoreML(Section):
    """``CoreMLConfig``."""

    enabled: bool = False
    enable_state: bool = False
    preserve_sdpa: bool = False
    quantize: Literal["b4w", "c4w"] | None = None
    ios: int = 15
    compute_units: Literal["cpu_only", "cpu_and_gpu", "cpu_and_ne", "all"] = "cpu_only"


class Vulkan(Section):
    """``VulkanConfig``."""

    enabled: bool = False
    force_fp16: bool = False


class QNN(Section):
    """``QNNConfig``."""

    enabled: bool = False
    use_sha: bool = False
    soc_model: str = "SM8650"
    use_qnn_sha: bool = False
    optimized_rotation_path: str | None = None
    num_sharding: int = 0


class MPS(Section):
    """``MPSConfig``."""

    enabled: bool = False


class Openvino(Section):
    """``OpenvinoConfig``."""

    enabled: bool = False
    device: str = "CPU"
    nncf_compression_group_size: int = 32
    openvino_awq: bool = False
    openvino_scale_estimation: bool = False


class TorchAOKernels(Section):
    """``TorchAOKernelsConfig``."""

    use_torchao_kernels_linear: bool = False
    use_torchao_kernels_tied_embedding: bool = False


class Tosa(Section):
    """``TosaConfig``."""

    enabled: bool = False
    version: str = "TOSA-1.0+INT"


class EthosU(Section):
    """``EthosUConfig``."""

    enabled: bool = False
    target: str = "ethos-u85-128"
    memory_mode: str = "default"
    system_config: str = "default"
    extra_flags: list[str] = []


class Vgf(Section):
    """``VgfConfig``."""

    enabled: bool = False
    compile_spec: str | None = "TOSA-1.0+INT"
    compiler_flags: list[str] = []
    quantize_scope: Literal["full", "linear"] = "full"


class MLX(Section):
    """``MLXConfig``."""

    enabled: bool = False


class Backend(Section):
    """``BackendConfig``."""

    xnnpack: XNNPack = XNNPack()
    coreml: CoreML = CoreML()
    vulkan: Vulkan = Vulkan()
    qnn: QNN = QNN()
    mps: MPS = MPS()
    openvino: Openvino = Openvino()
    torchao: TorchAOKernels = TorchAOKernels()
    tosa: Tosa = Tosa()
    ethosu: EthosU = EthosU()
    vgf: Vgf = Vgf()
    mlx: MLX = MLX()


class LlmConfig(Section):
    """The whole file."""

    base: Base = Base()
    model: Model = Model()
    export: Export = Export()
    debug: Debug = Debug()
    multimethod: Multimethod = Multimethod()
    quantization: Quantization = Quantization()
    backend: Backend = Backend()
    options: dict[str, Any] = {}
    """Ours."""

    OWN: ClassVar = ("options",)


def explain(error: pydantic.ValidationError) -> str:
    """What is wrong with a file first of all, a name before a value, with the nearest that exists."""
    errors = error.errors(include_url=False)
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    *sections, name = [str(part) for part in first["loc"]] or ["the file"]
    where = ".".join([*sections, name])
    if first["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        near = difflib.get_close_matches(str(first["input"]), allowed, n=1, cutoff=0.5)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        return f"{where} is {first['input']!r}.{guess} Allowed: {', '.join(allowed)}."
    if first["type"] != "extra_forbidden":
        return f"{where} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."
    fields = list(_section_at(sections).model_fields)
    near = difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
    elsewhere = [path for path in paths() if path.rpartition(".")[2] == name]
    if elsewhere:
        guess = f" It belongs to {' or '.join(path.rpartition('.')[0] for path in elsewhere)}."
    else:
        guess = f" Did you mean {near[0]!r}?" if near else ""
    return f"{where} does not exist.{guess} Known: {', '.join(fields)}."


def _section_at(names: Iterable[str]) -> type[pydantic.BaseModel]:
    found: Any = LlmConfig
    for name in names:
        inner = found.model_fields.get(name)
        annotation = Lora if name == "lora_config" else getattr(inner, "annotation", None)
        found = annotation if isinstance(annotation, type) and issubclass(annotation, Section) else Method
    return found  # type: ignore[no-any-return]


def paths(section: type[pydantic.BaseModel] = LlmConfig, above: str = "") -> Iterator[str]:
    """Every field of LlmConfig, as ``section.name``."""
    for name, field in section.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from paths(annotation, f"{above}{name}.")
        elif name not in LlmConfig.OWN:
            yield f"{above}{name}"

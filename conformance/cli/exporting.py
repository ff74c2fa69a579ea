"""The command that exports: export."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from conformance.cli import graphs
from conformance.cli.console import app, err, notice, out, style
from conformance.cli.grouping import SPELLING, GroupedCommand
from conformance.errors import ConformanceError
from exporters import llm_config
from exporters.config import read_metadata
from exporters.errors import ExportError
from exporters.llm_config import Request
from zoo import registry
from zoo.checkpoints import SCALES
from zoo.errors import unknown
from zoo.model import TASKS, Model

if TYPE_CHECKING:
    from exporters.artifact import Artifact, StageTime
    from exporters.profile import Profile

STAGES = ("quantize", "export", "lower", "emit")
MULTIMODAL = "multimodal-text-to-text"
"""What optimum calls the tasks of models that look or listen, and speak."""
MULTIMODAL_TASKS = ("image-text-to-text", "audio-text-to-text")
ELSEWHERE = ("coreml", "cuda", "metal", "mlx", "mps", "openvino", "qnn", "vulkan")
"""Recipes of other exporters, for hardware that is not here."""

WHAT, HOW, QUANTIZED, SHAPES, WRITTEN, DEBUGGING = (
    "What is exported",
    "How it runs",
    "Quantization",
    "Shapes",
    "What is written",
    "Debugging",
)


def _option(name: str, help: str, panel: str, **settings: Any) -> Any:
    return typer.Option(f"--{name}", *settings.pop("short", ()), help=help, rich_help_panel=panel, **settings)


def _of_optimum(name: str) -> Any:
    """An option of optimum-cli that no program here can honour, or only at one value."""
    return typer.Option(f"--{name}", hidden=True)


@app.command(cls=GroupedCommand, context_settings=SPELLING)
def export(
    context: typer.Context,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="SECTION.KEY=VALUE", help="Fields of --config, as hydra has them.", rich_help_panel=WHAT),
    ] = None,
    model: Annotated[
        str | None,
        _option("model", "A registry name, a checkpoint directory, or a hub id (organisation/model).", WHAT, short=("-m",)),
    ] = None,
    task: Annotated[
        str | None, _option("task", "What the model does (default: what the registry says, or text-generation).", WHAT)
    ] = None,
    scale: Annotated[str, _option("scale", f"Weights of a registry name: {', '.join(SCALES)}, or a directory.", WHAT)] = "twin",
    revision: Annotated[str | None, _option("revision", "Commit or branch of a hub id.", WHAT)] = None,
    config: Annotated[
        Path | None, _option("config", "A YAML file in the shape of export_llm's LlmConfig; options here win over it.", WHAT)
    ] = None,
    recipe: Annotated[str, _option("recipe", "How to lower: xnnpack or portable.", HOW)] = "xnnpack",
    dtype: Annotated[str, _option("dtype", "Type of what is not quantized: fp32, fp16, bf16.", HOW)] = "fp32",
    use_custom_sdpa: Annotated[bool, _option("use_custom_sdpa", "Attention through llama::custom_sdpa.", HOW)] = False,
    use_custom_kv_cache: Annotated[bool, _option("use_custom_kv_cache", "KV cache through llama::update_cache.", HOW)] = False,
    quantize_kv_cache: Annotated[bool, _option("quantize_kv_cache", "Keys and values in 8 bits.", HOW)] = False,
    use_attention_sink: Annotated[
        str | None, _option("use_attention_sink", "Keep the first and the last positions: '4,1024'.", HOW)
    ] = None,
    local_global_attention: Annotated[
        str | None, _option("local_global_attention", "Windows of the layers in turn, 0 for none: '16,0'.", HOW)
    ] = None,
    use_shared_embedding: Annotated[bool, _option("use_shared_embedding", "Store a tied embedding once.", HOW)] = False,
    qlinear: Annotated[
        str | None,
        _option("qlinear", "Linear layers: 8da4w, 8da8w, 8w, 4w, or '8da4w,8da8w'.", QUANTIZED),
    ] = None,
    qlinear_group_size: Annotated[
        int | None, _option("qlinear_group_size", "Input features that share a scale; 0: one a channel.", QUANTIZED)
    ] = None,
    qembedding: Annotated[str | None, _option("qembedding", "The embedding: 8w or 4w.", QUANTIZED)] = None,
    qembedding_group_size: Annotated[
        int | None, _option("qembedding_group_size", "Values of a row that share a scale; 0: one a row.", QUANTIZED)
    ] = None,
    qlinear_encoder: Annotated[
        str | None, _option("qlinear_encoder", "As --qlinear, of the encoder before a decoder.", QUANTIZED)
    ] = None,
    qlinear_encoder_group_size: Annotated[
        int | None, _option("qlinear_encoder_group_size", "As --qlinear_group_size.", QUANTIZED)
    ] = None,
    qembedding_encoder: Annotated[
        str | None, _option("qembedding_encoder", "As --qembedding, of the encoder before a decoder.", QUANTIZED)
    ] = None,
    qembedding_encoder_group_size: Annotated[
        int | None, _option("qembedding_encoder_group_size", "As --qembedding_group_size.", QUANTIZED)
    ] = None,
    pt2e_quantize: Annotated[
        str | None,
        _option("pt2e_quantize", "Of the graph instead of the model: xnnpack_dynamic, xnnpack_dynamic_qc4.", QUANTIZED),
    ] = None,
    allow_skipped_layers: Annotated[
        bool,
        _option("allow_skipped_layers", "Leave linear layers that the group size does not divide unquantized.", QUANTIZED),
    ] = False,
    max_seq_len: Annotated[
        int | None, _option("max_seq_len", "Positions of the cache (default: the context, at most 2048).", SHAPES)
    ] = None,
    max_prefill_len: Annotated[
        int | None, _option("max_prefill_len", "Tokens of one call at most (default: as many as the cache holds).", SHAPES)
    ] = None,
    max_source_len: Annotated[
        int | None,
        _option(
            "max_source_len",
            "Tokens, samples or frames that an encoder reads at most (default: the context, at most 512 or 30 seconds).",
            SHAPES,
        ),
    ] = None,
    image_size: Annotated[
        int | None, _option("image_size", "Height and width of images (default: what the checkpoint names).", SHAPES)
    ] = None,
    disable_dynamic_shapes: Annotated[
        bool, _option("disable_dynamic_shapes", "One token a call; an encoder: texts of full length.", SHAPES)
    ] = False,
    output_dir: Annotated[
        Path | None,
        _option("output_dir", "Where model.pte is written (default with --config: '.').", WRITTEN, short=("-o",)),
    ] = None,
    output_name: Annotated[str | None, _option("output_name", "Another name than model.pte.", WRITTEN)] = None,
    format: Annotated[
        str, _option("format", "pte: an ExecuTorch program; pt2: torch.export's; onnx: an ONNX graph.", WRITTEN)
    ] = "pte",
    metadata: Annotated[
        str | None, _option("metadata", "Further constant methods, as JSON: '{\"get_bos_id\": 1}'.", WRITTEN)
    ] = None,
    print_config: Annotated[
        bool, _option("print_config", "Print what would be exported, as a file for --config, and export nothing.", WRITTEN)
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check/--no_check", help="Compare the program with eager PyTorch.", rich_help_panel=WRITTEN),
    ] = True,
    verbose: Annotated[bool, _option("verbose", "Print which operators are delegated and which are not.", DEBUGGING)] = False,
    etrecord: Annotated[
        bool, _option("etrecord", "Write etrecord.bin, which executorch.devtools finds the source by.", DEBUGGING)
    ] = False,
    profile_memory: Annotated[
        bool,
        _option("profile_memory", "Write memory_profile_METHOD.json, planned memory for chrome://tracing.", DEBUGGING),
    ] = False,
    profile: Annotated[
        bool, _option("profile", "Write the times of stages and passes: profile.txt, profile.speedscope.json.", DEBUGGING)
    ] = False,
    profile_path: Annotated[
        Path | None, _option("profile_path", "Sample Python calls too, into this HTML page (a flame graph).", DEBUGGING)
    ] = None,
    stock_lowering: Annotated[
        bool,
        _option("stock_lowering", "Lower as ExecuTorch does, without our accelerations: same bytes, later.", DEBUGGING),
    ] = False,
    device: Annotated[str | None, _of_optimum("device")] = None,
    gguf_file: Annotated[str | None, _of_optimum("gguf_file")] = None,
    quantize_dtype: Annotated[str | None, _of_optimum("quantize_dtype")] = None,
    qlinear_packing_format: Annotated[str | None, _of_optimum("qlinear_packing_format")] = None,
    qlinear_encoder_packing_format: Annotated[str | None, _of_optimum("qlinear_encoder_packing_format")] = None,
) -> None:
    """Export a model to model.pte, with export.json and its tokenizer beside it, and check it against eager PyTorch.

    Options are those of optimum-cli export executorch; dashes work for underscores. --config takes a file of export_llm.
    """
    said = _said(context)
    _refuse(said)
    request = _request(said, config, overrides or [])
    if print_config:
        out.print(Text(request.to_yaml()), end="")
        return
    if request.format != "pte":
        graphs.refuse(request, said)
    model = _model(request)
    if output_dir is None and config is None and not overrides:
        raise ConformanceError(f"where to? Give a directory for {model} with --output_dir.")
    _run(request, model)


def _said(context: typer.Context) -> dict[str, Any]:
    """The options that stand on the command line; only they win over a file."""
    named = {name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"}
    said = {name: value for name, value in context.params.items() if name in named}
    return {name: str(value) if isinstance(value, Path) else value for name, value in said.items()}


def _refuse(said: Mapping[str, Any]) -> None:
    """Refuse what other exporters do for other hardware or other files, by name."""
    reasons: Mapping[str, Callable[[str], str | None]] = {
        "device": lambda value: None if value == "cpu" else "programs are traced on the CPU, and made for CPUs; leave it out",
        "gguf_file": lambda value: "weights are read from safetensors only; give the checkpoint it was made from",
        "quantize_dtype": lambda value: (
            None if _dtype(value) == _dtype(said.get("dtype", "fp32")) else "weights are quantized in --dtype; leave it out"
        ),
        "qlinear_packing_format": lambda value: "it is for CUDA and Metal; XNNPACK packs weights itself",
        "qlinear_encoder_packing_format": lambda value: "it is for CUDA and Metal; XNNPACK packs weights itself",
        "qlinear": lambda value: "it is for MPS; use 4w" if value == "fpa4w" else None,
        "qlinear_encoder": lambda value: "it is for MPS; use 4w" if value == "fpa4w" else None,
        "recipe": lambda value: "programs are made for CPUs; use xnnpack or portable" if value in ELSEWHERE else None,
    }
    for name, reason in reasons.items():
        if said.get(name) is not None and (told := reason(said[name])):
            raise ConformanceError(f"--{name} {said[name]}: {told}.")


def _dtype(name: str) -> str:
    return llm_config.DTYPE_NAMES.get(name, name)


def _request(said: Mapping[str, Any], config: Path | None, overrides: list[str]) -> Request:
    """What a file, its overrides and the command line ask for together; the latter win."""
    asked = llm_config.read(config, overrides) if config is not None or overrides else {}
    around = ("overrides", "config", "print_config", "device", "gguf_file", "quantize_dtype")
    asked |= {name: value for name, value in said.items() if name not in around}
    if asked.pop("disable_dynamic_shapes", False):
        asked["dynamic_shapes"] = False
    if isinstance(asked.get("metadata"), str):
        asked["metadata"] = read_metadata(asked["metadata"])
    try:
        return Request.from_options(asked)
    except ExportError as error:
        raise ExportError(f"{config}: {error}" if config is not None else str(error)) from None


def _run(request: Request, model: str) -> None:
    """Export, and say what was written and how it compares."""
    output_dir = Path(request.output_dir)
    row = registry.models().get(model)
    _check_task(request.task, row)
    if output_dir.exists() and not output_dir.is_dir():
        raise ConformanceError(f"--output_dir {output_dir} is a file; give a directory.")
    page = request.profile_path
    if page is not None and (Path(page).suffix != ".html" or not Path(page).parent.is_dir()):
        raise ConformanceError(f"--profile_path {page}: give an .html file in a directory that exists.")
    from conformance import shipping

    checkpoint = shipping.checkpoint(model, scale=request.scale, revision=request.revision)
    _check_source(request, checkpoint)
    if request.format != "pte":
        graphs.export(request, checkpoint, _task(request.task, row, checkpoint))
        return
    notice(request.stock_lowering)
    artifact, recorded = _export(request, checkpoint, _task(request.task, row, checkpoint))
    shipping.copy_companions(checkpoint, output_dir)
    _report(request, artifact, recorded)
    if request.check:
        with err.status("comparing with eager PyTorch"):
            verdict = shipping.check(artifact, checkpoint, trained=request.scale != "full")
        out.print(Text(f"{verdict.status}: {verdict.message}"), style=style(verdict.status))
        if verdict.status != "pass":
            raise typer.Exit(1)


def _model(request: Request) -> str:
    """The registry name, directory or hub id to export."""
    if request.model is not None:
        return request.model
    if request.model_class is None:
        raise ConformanceError(
            "which model? Give --model: a name that 'zoo list' shows, a checkpoint directory, or a hub id; "
            "in a --config file base.checkpoint."
        )
    published = llm_config.hub_id(request.model_class)
    row = next((row for row in registry.models().values() if row.hub_id == published), None)
    if row is None:
        return published
    hint = "; --scale hub takes the published weights" if request.scale == "twin" else ""
    err.print(Text(f"base.model_class {request.model_class} is {row.name}, --scale {request.scale}{hint}."))
    return row.name


def _check_task(task: str | None, row: Model | None) -> None:
    if task is None:
        return
    if task not in (*TASKS, MULTIMODAL):
        raise unknown("task", task, TASKS, hint=f"{MULTIMODAL} stands for those of images and of sound.")
    if row is not None and row.task not in (MULTIMODAL_TASKS if task == MULTIMODAL else (task,)):
        raise ConformanceError(f"--task {task}: {row.name} is registered for {row.task}.")


def _task(task: str | None, row: Model | None, checkpoint: Path) -> str:
    """The task as the exporter knows it."""
    if row is not None:
        return row.task
    if task != MULTIMODAL:
        return task or "text-generation"
    configuration = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    return MULTIMODAL_TASKS[0 if "vision_config" in configuration else 1]


def _check_source(request: Request, checkpoint: Path) -> None:
    """Hold what a file of export_llm says of a checkpoint against the checkpoint."""
    if request.model_class is not None:
        llm_config.check_model_class(request.model_class, checkpoint)
    if request.params is not None:
        agreed, unknown_there = llm_config.check_params(Path(request.params), checkpoint)
        told = f"; config.json has no word for {', '.join(unknown_there)}" if unknown_there else ""
        err.print(Text(f"base.params agrees with the checkpoint: {', '.join(agreed)}{told}."))


def _export(request: Request, checkpoint: Path, task: str) -> tuple[Artifact, Profile | None]:
    """Run the exporter, with a display of its stages."""
    from exporters import profile as profiling
    from exporters.debugging import DebugFiles
    from exporters.pipeline import export as run_export

    stage = STAGES[0]

    def on_stage(name: str, ended: StageTime | None) -> None:
        nonlocal stage
        stage = name
        progress.update(shown, description=f"{request.config.id}: {name} ({STAGES.index(name) + 1} of {len(STAGES)})")
        if recorded is not None:
            recorded.on_stage(name, ended)

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with (
        Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress,
        contextlib.ExitStack() as recording,
    ):
        shown = progress.add_task("importing torch", total=None)
        recorded = recording.enter_context(profiling.profiled()) if request.profile else None
        if request.profile_path is not None:
            recording.enter_context(profiling.sampled(Path(request.profile_path)))
        try:
            artifact = run_export(
                checkpoint,
                request.config,
                request.output_dir,
                task=task,
                **({} if request.output_name is None else {"name": request.output_name}),
                debug=DebugFiles(etrecord=request.etrecord, memory=request.profile_memory),
                stock_lowering=request.stock_lowering,
                on_stage=on_stage,
            )
        except (ExportError, OSError, MemoryError):
            raise
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), "")
            raise ConformanceError(
                f"the export failed at stage {stage}: {type(error).__name__}: {reason} 'zoo run' records such a failure whole."
            ) from error
    return artifact, recorded


def _report(request: Request, artifact: Artifact, recorded: Profile | None) -> None:
    """Print what was made, and write the profile."""
    from exporters.debugging import DebugFiles, delegation_table

    account = artifact.account
    for skipped in account.quantization["skipped"]:
        err.print(Text(f"not quantized: {skipped['name']}: {skipped['reason']}"), style="yellow")
    stages = ", ".join(f"{done.name} {done.seconds:.1f} s" for done in account.stages)
    out.print(Text(f"{artifact.program}: {account.file.bytes} bytes, {account.configuration_id} ({stages})"))
    if request.verbose:
        out.print(Text(delegation_table(account.delegation)))
    written = DebugFiles(etrecord=request.etrecord, memory=request.profile_memory).paths(artifact.directory, account.methods)
    if recorded is not None:
        written += recorded.write(artifact.directory)
        out.print(Text(recorded.table()))
    if request.profile_path is not None:
        written.append(Path(request.profile_path))
    absent = [path for path in written if not path.is_file()]
    if absent:
        raise ConformanceError(f"{', '.join(map(str, absent))} was not written, though the program was.")
    for path in written:
        out.print(Text(f"wrote {path}"))

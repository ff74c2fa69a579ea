"""The command that exports: export."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from conformance.cli.console import app, err, notice, out, style
from conformance.cli.options import Scale, Stock
from conformance.errors import ConformanceError
from exporters.config import ExportConfig
from exporters.errors import ExportError
from zoo import registry
from zoo.errors import unknown
from zoo.model import TASKS

if TYPE_CHECKING:
    from exporters.artifact import StageTime


@app.command()
def export(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="A registry name, a checkpoint directory, or a hub id (organisation/model).")],
    output_dir: Annotated[
        Path,
        typer.Option("--output_dir", "--output-dir", "-o", help="Where model.pte is written, or model.pt2, or model.onnx."),
    ],
    task: Annotated[
        str | None, typer.Option(help="What the model does (default: what the registry says, or text-generation).")
    ] = None,
    recipe: Annotated[str, typer.Option(help="How to lower: xnnpack or portable.")] = "xnnpack",
    dtype: Annotated[str, typer.Option(help="Type of what is not quantized: fp32, fp16, bf16.")] = "fp32",
    use_custom_sdpa: Annotated[
        bool, typer.Option("--use_custom_sdpa", "--use-custom-sdpa", help="Attention through llama::custom_sdpa.")
    ] = False,
    use_custom_kv_cache: Annotated[
        bool,
        typer.Option("--use_custom_kv_cache", "--use-custom-kv-cache", help="KV cache through llama::update_cache."),
    ] = False,
    quantize_kv_cache: Annotated[
        bool, typer.Option("--quantize_kv_cache", "--quantize-kv-cache", help="Keys and values in 8 bits.")
    ] = False,
    use_attention_sink: Annotated[
        str | None,
        typer.Option("--use_attention_sink", "--use-attention-sink", help="Keep the first and the last positions: '4,1024'."),
    ] = None,
    qlinear: Annotated[str | None, typer.Option(help="Quantize linear layers: 8da4w, 8da8w, 8w, 4w, or '8da4w,8da8w'.")] = None,
    qlinear_group_size: Annotated[
        int | None,
        typer.Option(
            "--qlinear_group_size", "--qlinear-group-size", help="Input features that share a scale; 0: one a channel."
        ),
    ] = None,
    qembedding: Annotated[str | None, typer.Option(help="Quantize the embedding: 8w or 4w.")] = None,
    qembedding_group_size: Annotated[
        int | None,
        typer.Option(
            "--qembedding_group_size", "--qembedding-group-size", help="Values of a row that share a scale; 0: one a row."
        ),
    ] = None,
    qlinear_encoder: Annotated[
        str | None,
        typer.Option("--qlinear_encoder", "--qlinear-encoder", help="As --qlinear, of the encoder before a decoder."),
    ] = None,
    qlinear_encoder_group_size: Annotated[
        int | None,
        typer.Option("--qlinear_encoder_group_size", "--qlinear-encoder-group-size", help="As --qlinear_group_size."),
    ] = None,
    qembedding_encoder: Annotated[
        str | None,
        typer.Option("--qembedding_encoder", "--qembedding-encoder", help="As --qembedding, of the encoder before a decoder."),
    ] = None,
    qembedding_encoder_group_size: Annotated[
        int | None,
        typer.Option("--qembedding_encoder_group_size", "--qembedding-encoder-group-size", help="As --qembedding_group_size."),
    ] = None,
    use_shared_embedding: Annotated[
        bool, typer.Option("--use_shared_embedding", "--use-shared-embedding", help="Store a tied embedding once.")
    ] = False,
    allow_skipped_layers: Annotated[
        bool,
        typer.Option(
            "--allow_skipped_layers",
            "--allow-skipped-layers",
            help="Leave linear layers that the group size does not divide unquantized.",
        ),
    ] = False,
    max_seq_len: Annotated[
        int | None,
        typer.Option("--max_seq_len", "--max-seq-len", help="Positions of the cache (default: the context, at most 2048)."),
    ] = None,
    max_source_len: Annotated[
        int | None,
        typer.Option(
            "--max_source_len",
            "--max-source-len",
            help="Tokens, samples or frames that an encoder reads at most (default: the context, at most 512 or 30 seconds).",
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option("--image_size", "--image-size", help="Height and width of images (default: what the checkpoint names)."),
    ] = None,
    disable_dynamic_shapes: Annotated[
        bool,
        typer.Option(
            "--disable_dynamic_shapes", "--disable-dynamic-shapes", help="One token a call; an encoder: texts of full length."
        ),
    ] = False,
    format: Annotated[
        str, typer.Option(help="What to write: pte (ExecuTorch), pt2 (torch.export) or onnx (onnxruntime).")
    ] = "pte",
    scale: Scale = "twin",
    revision: Annotated[str | None, typer.Option(help="Commit or branch of a hub id.")] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Compare the program with eager PyTorch.")] = True,
    stock_lowering: Stock = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write the times of stages and passes: profile.txt, profile.speedscope.json.")
    ] = False,
    profile_path: Annotated[
        Path | None,
        typer.Option("--profile_path", "--profile-path", help="Sample Python calls too, into this HTML page (a flame graph)."),
    ] = None,
) -> None:
    """Export a model to model.pte, with export.json and its tokenizer beside it, and check it against eager PyTorch."""
    config = ExportConfig(
        recipe=recipe,
        dtype={"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}.get(dtype, dtype),
        use_custom_sdpa=use_custom_sdpa,
        use_custom_kv_cache=use_custom_kv_cache,
        quantize_kv_cache=quantize_kv_cache,
        use_attention_sink=use_attention_sink,
        qlinear=qlinear,
        qlinear_group_size=qlinear_group_size,
        qembedding=qembedding,
        qembedding_group_size=qembedding_group_size,
        qlinear_encoder=qlinear_encoder,
        qlinear_encoder_group_size=qlinear_encoder_group_size,
        qembedding_encoder=qembedding_encoder,
        qembedding_encoder_group_size=qembedding_encoder_group_size,
        use_shared_embedding=use_shared_embedding,
        allow_skipped_layers=allow_skipped_layers,
        dynamic_shapes=not disable_dynamic_shapes,
        max_seq_len=max_seq_len,
        max_source_len=max_source_len,
        image_size=image_size,
    )
    row = registry.models().get(model)
    task = task or (row.task if row is not None else "text-generation")
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    if row is not None and task != row.task:
        raise ConformanceError(f"--task {task}: {row.name} is registered for {row.task}.")
    if format != "pte":
        from conformance.cli import graphs

        graphs.refuse(context, config, format)
    if output_dir.exists() and not output_dir.is_dir():
        raise ConformanceError(f"--output_dir {output_dir} is a file; give a directory.")
    if profile_path is not None and (profile_path.suffix != ".html" or not profile_path.parent.is_dir()):
        raise ConformanceError(f"--profile_path {profile_path}: give an .html file in a directory that exists.")
    from conformance import shipping

    checkpoint = shipping.checkpoint(model, scale=scale, revision=revision)
    if format != "pte":
        graphs.export(checkpoint, config, output_dir, task=task, format=format, check=check, trained=scale != "full")
        return
    from exporters import profile as profiling
    from exporters.pipeline import export as run_export

    stage = "quantize"

    def on_stage(name: str, ended: StageTime | None) -> None:
        nonlocal stage
        stage = name
        status.update(f"{config.id}: {name}")
        if recorded is not None:
            recorded.on_stage(name, ended)

    notice(stock_lowering)
    with err.status("importing") as status, contextlib.ExitStack() as recording:
        recorded = recording.enter_context(profiling.profiled()) if profile else None
        if profile_path is not None:
            recording.enter_context(profiling.sampled(profile_path))
        try:
            artifact = run_export(checkpoint, config, output_dir, task=task, stock_lowering=stock_lowering, on_stage=on_stage)
        except (ExportError, OSError, MemoryError):
            raise
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), "")
            raise ConformanceError(
                f"the export failed at stage {stage}: {type(error).__name__}: {reason} 'zoo run' records such a failure whole."
            ) from error
        shipping.copy_companions(checkpoint, output_dir)
    for skipped in artifact.account.quantization["skipped"]:
        err.print(Text(f"not quantized: {skipped['name']}: {skipped['reason']}"), style="yellow")
    stages = ", ".join(f"{done.name} {done.seconds:.1f} s" for done in artifact.account.stages)
    out.print(Text(f"{artifact.program}: {artifact.account.file.bytes} bytes, {config.id} ({stages})"))
    written = [profile_path] if profile_path is not None else []
    if recorded is not None:
        written = [*recorded.write(output_dir), *written]
        out.print(Text(recorded.table()))
    for path in written:
        out.print(Text(f"wrote {path}"))
    if check:
        with err.status("comparing with eager PyTorch"):
            verdict = shipping.check(artifact, checkpoint, trained=scale != "full")
        out.print(Text(f"{verdict.status}: {verdict.message}"), style=style(verdict.status))
        if verdict.status != "pass":
            raise typer.Exit(1)
